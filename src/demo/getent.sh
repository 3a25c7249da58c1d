#!/bin/sh
# Stands in for `getent` in a demonstration: its one node is this machine.
[ "$1 $2" = 'ahostsv4 demo-node1' ] || exit 2
echo '127.0.0.1 STREAM demo-node1'
