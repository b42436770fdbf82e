// What a cluster meets outside: another site by which people sign in, and a server that takes letters.

import { createHmac, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";

/** Another site: whoever comes is the one person who lives there, and agrees to everything. */
export class Site {
  readonly env: Record<string, string>;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    const at = `http://localhost:${(server.address() as AddressInfo).port}`;
    const places = ["authorize", "token", "userinfo", "emails"].map((place) => `${place}=${at}/${place}`);
    this.env = {
      RALLY_OAUTH_GITHUB_CLIENT_ID: "rally",
      RALLY_OAUTH_GITHUB_CLIENT_SECRET: "what only the two know",
      RALLY_OAUTH_GITHUB_ENDPOINTS: places.join(","),
    };
  }

  static async start(login: string): Promise<Site> {
    const server = createServer((request, response) => answer(login, request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Site(server);
  }

  stop(): void {
    this.#server.close();
  }
}

function answer(login: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://localhost");
  const json = (body: unknown) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  };
  switch (url.pathname) {
    case "/authorize": {
      const back = new URL(url.searchParams.get("redirect_uri")!);
      back.searchParams.set("code", randomUUID());
      back.searchParams.set("state", url.searchParams.get("state")!);
      response.writeHead(303, { location: back.href }).end();
      break;
    }
    case "/token":
      json({ access_token: randomUUID(), token_type: "bearer" });
      break;
    case "/userinfo":
      json({ id: 583_231, login });
      break;
    case "/emails":
      json([{ email: `${login}@rally.test`, primary: true, verified: true }]);
      break;
    default:
      response.writeHead(404).end();
  }
}

/** Takes letters, as much of SMTP as that needs. */
export class Inbox {
  readonly env: Record<string, string>;
  readonly #server: Server;
  readonly #letters: string[];

  private constructor(server: Server, letters: string[]) {
    [this.#server, this.#letters] = [server, letters];
    this.env = {
      RALLY_SMTP_URL: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`,
      RALLY_MAIL_FROM: "Rally <rally@rally.test>",
    };
  }

  static async start(): Promise<Inbox> {
    const letters: string[] = [];
    const server = createTcpServer((socket) => {
      let heard = "";
      let letter: string | null = null;
      socket.on("error", () => {});
      socket.write("220 inbox\r\n");
      socket.on("data", (chunk: Buffer) => {
        heard += chunk.toString();
        for (let end = heard.indexOf("\r\n"); end >= 0; end = heard.indexOf("\r\n")) {
          const line = heard.slice(0, end);
          heard = heard.slice(end + 2);
          if (letter === null) {
            const isData = line.toUpperCase() === "DATA";
            if (isData) letter = "";
            socket.write(isData ? "354 go on\r\n" : line.toUpperCase() === "QUIT" ? "221 bye\r\n" : "250 fine\r\n");
          } else if (line === ".") {
            letters.push(letter);
            letter = null;
            socket.write("250 taken\r\n");
          } else letter += `${line}\n`;
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Inbox(server, letters);
  }

  /** The code in the next letter. */
  async nextCode(): Promise<string> {
    const deadline = Date.now() + 20_000;
    while (this.#letters.length === 0) {
      if (Date.now() > deadline) throw new Error("no letter came");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const letter = this.#letters.shift()!;
    const code = /^ {4}(\S+)$/m.exec(letter)?.[1];
    if (code === undefined) throw new Error(`no code in ${letter}`);
    return code;
  }

  stop(): void {
    this.#server.close();
  }
}

/** What an authenticator with this secret shows (RFC 6238), so many steps from now. */
export function totp(base32: string, steps = 0): string {
  const bits = [...base32].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac("sha1", key).update(counter).digest();
  const at = mac[19]! & 15;
  return String((mac.readUInt32BE(at) & 0x7fff_ffff) % 1_000_000).padStart(6, "0");
}
