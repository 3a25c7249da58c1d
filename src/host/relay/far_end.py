# The far end of a relay: carries connections to one port or Unix socket of this machine through its own standard input
# and output, in the frames of yamux (hashicorp/yamux, spec.md). Standard library only; Python 3.6 and later. Arguments: a
# nonce that frames the greeting, and the host and the port, or the socket's path.
import errno
import os
import selectors
import socket
import struct
import sys

WINDOW = 256 * 1024  # what each side may send on a new stream, by the specification
PIECE = 16 * 1024  # the longest frame that we make: a short answer never waits behind a long one
BACKLOG = 1024 * 1024  # what waits for standard output before no socket is read any more
MOST = 1024  # streams at once

DATA, UPDATE, PING, GO_AWAY = 0, 1, 2, 3
SYN, ACK, FIN, RST = 1, 2, 4, 8
HEADER = struct.Struct(">BBHII")  # version, type, flags, stream, length


class Broken(Exception):
    """The other side does not keep to the protocol."""


class Stream:
    """One connection: what goes to its socket, and how much may be sent the other way."""

    def __init__(self, number, sock):
        self.number = number
        self.sock = sock
        self.connecting = True
        self.to_socket = bytearray()
        self.taken = 0  # bytes that the socket took and the other side was not told of yet
        self.window = WINDOW  # what the other side may still send
        self.credit = WINDOW  # what we may still send
        self.far_done = False  # the other side sends no more
        self.near_done = False  # the socket sends no more
        self.shut = False


class Relay:
    def __init__(self, family, address):
        self.family = family
        self.address = address
        self.streams = {}
        self.selector = selectors.DefaultSelector()
        self.heard = bytearray()
        self.said = bytearray()
        for fd in (0, 1):
            os.set_blocking(fd, False)
        self.selector.register(0, selectors.EVENT_READ)
        self.writing = False
        self.held = False  # whether a socket is not read because too much waits to be said

    def run(self):
        while True:
            for key, events in self.selector.select():
                if key.fd == 0:
                    if not self.listen():
                        return
                elif key.fd == 1:
                    self.flush()
                elif self.streams.get(key.data.number) is key.data:
                    self.serve(key.data, events)
            self.flush()

    # ---- The other side

    def listen(self):
        try:
            piece = os.read(0, 256 * 1024)
        except BlockingIOError:
            return True
        if not piece:
            return False
        self.heard += piece
        begin = 0
        while len(self.heard) - begin >= HEADER.size:
            version, kind, flags, number, length = HEADER.unpack_from(self.heard, begin)
            if version != 0 or kind > GO_AWAY:
                raise Broken("a frame of version %d and type %d" % (version, kind))
            body = length if kind == DATA else 0
            if body > WINDOW:
                raise Broken("a frame of %d bytes" % body)
            end = begin + HEADER.size + body
            if len(self.heard) < end:
                break
            if kind == GO_AWAY:
                return False
            self.take(kind, flags, number, length, self.heard[begin + HEADER.size : end])
            begin = end
        del self.heard[:begin]
        return True

    def take(self, kind, flags, number, length, body):
        if kind == PING:
            if flags & SYN:
                self.say(PING, ACK, 0, length)
            return
        if flags & SYN:
            self.open(number)
        stream = self.streams.get(number)
        if stream is None:
            return  # it ended here while this was on its way
        if flags & RST:
            self.forget(stream)
            return
        if kind == UPDATE:
            stream.credit += length
        elif body:
            stream.window -= len(body)
            if stream.window < 0 or stream.far_done:
                raise Broken("more on stream %d than was granted" % number)
            stream.to_socket += body
        if flags & FIN:
            stream.far_done = True
        self.serve(stream, selectors.EVENT_WRITE)

    def open(self, number):
        if number in self.streams or number % 2 == 0:
            raise Broken("stream %d cannot be opened" % number)
        if len(self.streams) >= MOST:
            self.say(UPDATE, RST, number, 0)
            return
        try:
            sock = socket.socket(self.family, socket.SOCK_STREAM)
        except OSError:  # no descriptor is left
            self.say(DATA, RST, number, 0)
            return
        sock.setblocking(False)
        if self.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = Stream(number, sock)
        self.streams[number] = stream
        self.selector.register(sock, selectors.EVENT_WRITE, stream)
        try:
            sock.connect(self.address)
        except OSError as error:
            # A Unix socket whose queue is full says EAGAIN, and nothing goes on by itself.
            if error.errno != errno.EINPROGRESS:
                self.reset(stream)

    def say(self, kind, flags, number, length, body=b""):
        self.said += HEADER.pack(0, kind, flags, number, length)
        self.said += body

    def flush(self):
        while self.said:
            try:
                written = os.write(1, self.said[: 64 * 1024])
            except BlockingIOError:
                break
            del self.said[:written]
        if bool(self.said) != self.writing:
            self.writing = bool(self.said)
            if self.writing:
                self.selector.register(1, selectors.EVENT_WRITE)
            else:
                self.selector.unregister(1)
        if self.held and len(self.said) < BACKLOG:
            self.held = False
            for stream in list(self.streams.values()):
                self.watch(stream)

    # ---- The sockets

    def serve(self, stream, events):
        try:
            if stream.connecting:
                if not events & selectors.EVENT_WRITE or not self.connected(stream):
                    return
            if events & selectors.EVENT_WRITE:
                self.give(stream)
            if events & selectors.EVENT_READ:
                self.fetch(stream)
        except OSError:
            self.reset(stream)
            return
        if stream.far_done and stream.near_done and not stream.to_socket:
            self.forget(stream)
        else:
            self.watch(stream)

    def connected(self, stream):
        error = stream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        try:
            stream.sock.getpeername()
        except OSError:
            return False
        stream.connecting = False
        self.say(UPDATE, ACK, stream.number, 0)
        return True

    def give(self, stream):
        while stream.to_socket:
            try:
                sent = stream.sock.send(stream.to_socket[:PIECE])
            except BlockingIOError:
                break
            del stream.to_socket[:sent]
            stream.taken += sent
        if stream.taken >= WINDOW // 2:
            self.say(UPDATE, 0, stream.number, stream.taken)
            stream.window += stream.taken
            stream.taken = 0
        if stream.far_done and not stream.to_socket and not stream.shut:
            stream.shut = True
            try:
                stream.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it went away by itself; reading tells how

    def fetch(self, stream):
        while stream.credit and not stream.near_done and len(self.said) < BACKLOG:
            try:
                piece = stream.sock.recv(min(PIECE, stream.credit))
            except BlockingIOError:
                return
            if piece:
                stream.credit -= len(piece)
                self.say(DATA, 0, stream.number, len(piece), piece)
            else:
                stream.near_done = True
                self.say(DATA, FIN, stream.number, 0)

    def watch(self, stream):
        """Waits for what the socket can do for us now, and for nothing else."""
        events = 0
        if stream.connecting or stream.to_socket:
            events |= selectors.EVENT_WRITE
        if not stream.connecting and stream.credit and not stream.near_done:
            if len(self.said) < BACKLOG:
                events |= selectors.EVENT_READ
            else:
                self.held = True
        known = self.selector.get_map().get(stream.sock)
        if known and events:
            if known.events != events:
                self.selector.modify(stream.sock, events, stream)
        elif events:
            self.selector.register(stream.sock, events, stream)
        elif known:
            self.selector.unregister(stream.sock)

    def reset(self, stream):
        self.say(DATA, RST, stream.number, 0)
        self.forget(stream)

    def forget(self, stream):
        del self.streams[stream.number]
        if stream.sock in self.selector.get_map():
            self.selector.unregister(stream.sock)
        stream.sock.close()


def main(nonce, host, port=None):
    if port is None:
        family, address = socket.AF_UNIX, host
    else:
        family, address = socket.AF_INET6 if ":" in host else socket.AF_INET, (host, int(port))
    try:
        # Who greets has been let in once.
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(10)
            sock.connect(address)
    except OSError as error:
        sys.exit("relay: %s cannot be reached: %s" % (host if port is None else "%s port %s" % (host, port), error))
    os.write(1, ("\n%s relay\n" % nonce).encode())
    try:
        Relay(family, address).run()
    except Broken as error:
        sys.exit("relay: %s" % error)
    except (BrokenPipeError, ConnectionError):
        pass  # nobody listens any more


main(*sys.argv[1:])
