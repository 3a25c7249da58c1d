# What is known of a model's files: how large they are, what of them is here, and how much room is left. Part of the keeper;
# the doctor asks the same. MODEL is the model's name at the hub.

# Asks the hub that the engine would ask, with the token that the engine has: never in an argv, and not sent on to another
# host. Files of one kind are told as one, so that the answer is short.
HUB_INDEX='
import json, os, re, signal, urllib.parse, urllib.request
# All of it, whatever hangs: a time limit of one request holds for each address anew.
signal.signal(signal.SIGALRM, signal.SIG_DFL)
signal.alarm(20)
home = os.environ.get("HF_HOME") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface")
token = os.environ.get("HF_TOKEN") or ""
try:
    token = token or open(os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")).read()
except OSError:
    pass
hub = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
model = urllib.parse.quote(os.environ["LLM_PROXY_MODEL"])
request = urllib.request.Request(hub + "/api/models/" + model + "?blobs=true")
if token.strip():
    request.add_unredirected_header("Authorization", "Bearer " + token.strip())
with urllib.request.urlopen(request, timeout=20) as answer:
    files = json.loads(answer.read(16 << 20))["siblings"]
kinds = {}
for file in files:
    name, size = file["rfilename"], file.get("size")
    if "/" in name:
        continue
    kind = re.search("[.][A-Za-z0-9_]{1,16}$", name)
    kind = kind.group() if kind and (kind.group() in kinds or len(kinds) < 40) else ".other"
    before = kinds.get(kind, 0)
    kinds[kind] = None if size is None or before is None else before + size
told = [{"rfilename": "all" + kind, "size": size} for kind, size in kinds.items()]
print(json.dumps({"siblings": told}, separators=(",", ":")))
'

# Where the engine's library keeps models.
hub_folder() {
  HUB=${HF_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}
}

# Sets ARRIVED: bytes of the model's files, whole ones and those that are being written.
hub_arrived() {
  ARRIVED=0
  [ -n "$MODEL" ] || return 0
  blobs=$HUB/models--$(printf '%s\n' "$MODEL" | sed 's,/,--,g')/blobs
  [ -d "$blobs" ] || return 0
  size=$(du -sk "$blobs" 2>/dev/null | cut -f 1)
  ARRIVED=$((${size:-0} * 1024))
}

# Sets FREE: bytes of room where the models are, or will be; nothing where that cannot be told.
hub_free() {
  place=$HUB
  while [ ! -d "$place" ] && [ "$place" != / ]; do place=$(dirname "$place"); done
  FREE=$(df -Pk "$place" 2>/dev/null | awk 'END { print $4 }')
  case $FREE in
    '' | *[!0-9]*) FREE='' ;;
    *) FREE=$((FREE * 1024)) ;;
  esac
}

# The hub's index, as one line; nothing where it does not answer.
hub_index() {
  case ${HF_HUB_OFFLINE:-} in
    '' | 0 | [Ff]*) ;;
    *) return 0 ;;
  esac
  LLM_PROXY_MODEL=$MODEL python3 -c "$HUB_INDEX" 2>/dev/null
}
