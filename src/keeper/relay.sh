# Becomes the far end of a relay, or what starts it. The lines before this script set the function `become_relay`.

relay_main() {
  forget_slurm
  become_relay
}

{ relay_main; exit; }
