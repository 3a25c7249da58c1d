# What another machine writes, shared by the runner and the life.

# keep_fresh FILE...: over NFS, who follows a file sees what another machine appended only once its own kernel asks the
# server again, which may take a minute; opening the file makes it ask. Ends with this shell.
keep_fresh() {
  while sleep 2 && kill -0 "$$"; do
    for file in "$@"; do true <"$file"; done
  done
}
