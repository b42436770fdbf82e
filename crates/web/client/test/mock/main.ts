// `npm run mock`: the built page on a mock edge, at the port in PORT (8080).
import { MockServer } from "./server.ts";

const server = new MockServer();
console.log(await server.listen(Number(process.env.PORT ?? 8080)));
