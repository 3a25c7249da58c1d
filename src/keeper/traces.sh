# Where an engine's own profiler writes: notes the moment, or sends what was written since. The lines before this script set
# NONCE and MARK, and go to the folder.

# With the names that are there, its own among them: a file's time may be too coarse to tell.
mark_traces() {
  find . -type f >"$MARK" && printf '%s marked\n' "$NONCE"
}

# Those of another name, and those that were written again.
new_traces() {
  {
    find . -type f | grep -vxF -f "$MARK"
    find . -type f -newer "$MARK"
  } | sort -u
}

# Each file behind a line that says its length, so that nobody takes a part of one for the whole.
send_traces() {
  [ -f "$MARK" ] || exit
  printf '%s begin\n' "$NONCE"
  new_traces | while IFS= read -r file; do
    size=$(($(wc -c <"$file")))
    printf '%s file %s %s\n' "$NONCE" "$size" "${file#./}"
    head -c "$size" <"$file"
  done
  forget_mark
  printf '%s end\n' "$NONCE"
}

forget_mark() {
  rm -f -- "$MARK"
}

