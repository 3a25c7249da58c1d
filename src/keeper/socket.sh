# The engine's Unix socket, where it gets one in the place of a port. Part of the keeper.

# Nobody else can enter the folder. It is under /tmp whatever XDG_RUNTIME_DIR says: that one goes with the user's last login
# on the machine, and the engine may not. There, the path also fits into a socket's address.
make_socket_folder() {
  FOLDER=$(umask 077 && mktemp -d /tmp/llm-proxy-XXXXXX) || return 1
  # In the place of a port that was asked for: no other is tried. Some engines know a socket by its ending.
  PORT_WANTED=$FOLDER/engine.sock
}

remove_socket_folder() {
  [ -z "$FOLDER" ] || rm -rf "$FOLDER"
}

# listening_on PATH: the inode of the Unix socket that takes connections there.
listening_on() {
  grep -sF " $1" /proc/net/unix |
    while read -r _ _ _ flags _ _ inode path; do
      if [ "$flags $path" = "00010000 $1" ]; then printf '%s\n' "$inode"; fi
    done
}
