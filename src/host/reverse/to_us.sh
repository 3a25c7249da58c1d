# $1: what frames our greeting; $2: the server's user and its name, which are one; $3: what is forwarded. Where it listens,
# its key and ours come on standard input: no other user can read them there.
folder=$(umask 077 && mktemp -d) || exit
trap 'rm -rf "$folder"' EXIT
trap 'kill "$tunnel" "$watch" 2>/dev/null; exit 143' HUP INT TERM
umask 077
printf '%s reverse\n' "$1"
read -r host && read -r port && read -r known_hosts || exit
printf '%s\n' "$known_hosts" >"$folder/known_hosts" || exit
while read -r line && [ "$line" != . ]; do printf '%s\n' "$line"; done >"$folder/key" || exit
supervise ssh -F none -N -T -R "0:$3" -p "$port" -l "$2" -i "$folder/key" \
  -o "UserKnownHostsFile=\"$folder/known_hosts\"" -o GlobalKnownHostsFile=none -o HostKeyAlias="$2" \
  -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o IdentityAgent=none -o PreferredAuthentications=publickey \
  -o BatchMode=yes -o ExitOnForwardFailure=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 \
  -o ServerAliveCountMax=3 -o UpdateHostKeys=no -o LogLevel=INFO -- "$host"
