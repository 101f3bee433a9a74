/** The sending half of WebSocket, for the development server: handshake and text frames. */

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

export function accept(request: IncomingMessage, socket: Duplex): (text: string) => void {
  const key = createHash("sha1")
    .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`,
  );
  socket.on("error", () => socket.destroy());
  // A client's frame that begins with 0x88 says good-bye.
  socket.on("data", (d: Buffer) => (d[0]! & 15) === 8 && socket.end());
  return (text) => {
    const body = Buffer.from(text);
    const head =
      body.length < 126 ? Buffer.from([0x81, body.length]) : body.length < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
    if (body.length >= 126) {
      head[0] = 0x81;
      head[1] = body.length < 65536 ? 126 : 127;
      if (body.length < 65536) head.writeUInt16BE(body.length, 2);
      else head.writeBigUInt64BE(BigInt(body.length), 2);
    }
    socket.write(Buffer.concat([head, body]));
  };
}
