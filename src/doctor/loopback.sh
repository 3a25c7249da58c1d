# Whether a tunnel back could be made from the account where srun is, which the nodes share. The lines before it set USER_THERE
# and FAR, both may be empty.
me=$(id -un)
here=$(uname -n)
: "${USER_THERE:=$me}" "${FAR:=$here}"
# Whether that is this account on this host itself: only then may its files be changed from here.
place=no
if [ "$USER_THERE" = "$me" ]; then
  own=" $here localhost 127.0.0.1 ::1 $(hostname -f 2>/dev/null) $(hostname -I 2>/dev/null) "
  for name in "$FAR" $(getent hosts "$FAR" 2>/dev/null | cut -d' ' -f1); do
    case $own in *" $name "*) place=yes ;; esac
  done
fi
printf '%s\n' "user=$USER_THERE" "far=$FAR" "here=$here" "place=$place"
for key in ~/.ssh/id_ed25519 ~/.ssh/id_ecdsa ~/.ssh/id_rsa; do
  [ ! -f "$key" ] || printf 'key=%s\n' "$(cat "$key.pub" 2>/dev/null || ssh-keygen -yf "$key" -P '' 2>/dev/null)"
done
# As the job's will be, but for an end: a port is asked for and given back.
LC_ALL=C ssh -T -R 0:127.0.0.1:9 -o BatchMode=yes -o ExitOnForwardFailure=yes -o StrictHostKeyChecking=yes \
  -o ConnectTimeout=10 -o IdentityAgent=none -o ControlMaster=no -o ControlPath=none -o ForwardAgent=no -o ForwardX11=no \
  -o PermitLocalCommand=no -o LogLevel=INFO -- "$USER_THERE@$FAR" true >/dev/null 2>"${said:=$(mktemp)}"
echo "code=$?"
sed 's/^/said=/' "$said"
if grep -q 'Host key verification failed' "$said" && ! grep -q 'IDENTIFICATION HAS CHANGED' "$said"; then
  ssh-keyscan -T 5 -- "$FAR" 2>/dev/null | grep -v '^#' | while read -r _ shown; do
    printf 'shown=%s\n' "$shown"
    for file in /etc/ssh/ssh_host_*_key.pub; do
      if [ "$place" = yes ] && [ "$(cut -d' ' -f1,2 "$file" 2>/dev/null)" = "$shown" ]; then printf 'same=%s\n' "$shown"; fi
    done
  done
fi
rm -f -- "$said"
