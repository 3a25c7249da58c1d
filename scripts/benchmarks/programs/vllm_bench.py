"""`vllm` whose `bench serve` is given whole messages of a stream.

It strips the white space of each piece that it reads. Where a piece ends behind `data: `, as the network pleases, it cannot
read that message any more, and counts the answer as failed.
"""

import sys

from aiohttp import StreamReader
from vllm.entrypoints.cli.main import main


async def whole_messages(reader):
    """In place of `iter_any`: what came, as far as whole messages go."""
    held = b""
    while piece := await reader.readany():
        whole, end, held = (held + piece).rpartition(b"\n\n")
        if end:
            yield whole
    if held:
        yield held


StreamReader.iter_any = whole_messages
sys.exit(main())
