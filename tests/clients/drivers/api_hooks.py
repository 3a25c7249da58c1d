"""What schemathesis leaves alone: a log that is followed never ends, and is tested elsewhere."""

import schemathesis


@schemathesis.hook
def filter_query(context, query):
    return not query or str(query.get("follow")).lower() not in ("true", "1", "")
