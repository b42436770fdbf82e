import { Rally } from "rally-sdk";

const rally = new Rally("http://localhost:8080");
await rally.signInAsGuest("alice");
rally.onLive = () => rally.send({ type: "queue_join", mode: "casual", skill: null });
rally.onMessage = (message) => console.log(message);
rally.start();
