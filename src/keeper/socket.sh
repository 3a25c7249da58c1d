# The engine's Unix socket, where it gets one in the place of a port. Part of the keeper.

# Nobody else can enter the folder. It is under /tmp whatever XDG_RUNTIME_DIR says: that one goes with the user's last login
# on the machine, and the engine may not. There, the path also fits into a socket's address.
make_socket_folder() {
  pids=$(readlink /proc/self/ns/pid)
  sweep_socket_folders
  FOLDER=$(umask 077 && mktemp -d /tmp/llm-proxy-XXXXXX) || return 1
  start_of "$$"
  printf '%s %s %s\n' "$$" "$START" "$pids" >"$FOLDER/keeper"
  # In the place of a port that was asked for: no other is tried. Some engines know a socket by its ending.
  PORT_WANTED=$FOLDER/engine.sock
}

remove_socket_folder() {
  [ -z "$FOLDER" ] || rm -rf "$FOLDER"
}

# Whatever kills all of a job at once leaves its folder: the next keeper of the same user removes it. Not that of an engine that
# still listens, or whose keeper we can see, or could not see: a container may share /tmp, and number its processes anew.
sweep_socket_folders() {
  for folder in /tmp/llm-proxy-??????; do
    [ -n "$(find "$folder" -prune -type d -user "$(id -u)" 2>/dev/null)" ] || continue
    read -r pid start space 2>/dev/null <"$folder/keeper" || continue
    [ -n "$pids" ] && [ "$space" = "$pids" ] || continue
    start_of "$pid"
    if [ "$START" != "$start" ] && [ -z "$(listening_on "$folder/engine.sock")" ]; then rm -rf "$folder"; fi
  done
}

# listening_on PATH: the inode of the Unix socket that takes connections there.
listening_on() {
  grep -sF " $1" /proc/net/unix |
    while read -r _ _ _ flags _ _ inode path; do
      if [ "$flags $path" = "00010000 $1" ]; then printf '%s\n' "$inode"; fi
    done
}
