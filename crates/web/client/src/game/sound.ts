// Sound made of oscillators and noise; no file is loaded. Silent until the first touch of key or screen (browsers want
// it so) and while muted.

import type { MatchEvent } from "rally-sdk";
import * as settings from "../settings.ts";

interface Tone {
  type: OscillatorType;
  from: number;
  to?: number;
  at?: number;
  s: number;
  gain: number;
}

const VOLUME = 0.5;

class Sound {
  #context: AudioContext | null = null;
  #out: GainNode | null = null;
  #noise: AudioBuffer | null = null;

  constructor() {
    const wake = () => {
      if (settings.sound.value) void this.#wake()?.resume();
    };
    addEventListener("pointerdown", wake);
    addEventListener("keydown", wake);
  }

  #wake(): AudioContext | null {
    if (this.#context === null && "AudioContext" in globalThis) {
      this.#context = new AudioContext({ latencyHint: "interactive" });
      const limiter = this.#context.createDynamicsCompressor();
      this.#out = this.#context.createGain();
      this.#out.gain.value = VOLUME;
      this.#out.connect(limiter).connect(this.#context.destination);
    }
    return this.#context;
  }

  /** `own`: +1 if the event is good for the one who listens, -1 if bad, 0 for a spectator. */
  event(event: MatchEvent, own: -1 | 0 | 1): void {
    switch (event.event) {
      case "hit":
        this.#hit(event.value ?? 600);
        break;
      case "goal":
        this.#chord(own < 0 ? [330, 262, 196] : [523, 659, 784], 0.11, own < 0 ? "triangle" : "square");
        this.#hiss(0.35, 0.22, 900);
        break;
      case "skill":
        if (event.skill === "dash") this.#hiss(0.25, 0.25, 2600);
        else this.#tones([{ type: "sawtooth", from: 160, to: 620, s: 0.12, gain: 0.16 }]);
        break;
      case "power_up":
        if (event.powerUp === "blackhole") this.#tones([{ type: "sine", from: 220, to: 40, s: 0.9, gain: 0.5 }]);
        else if (event.powerUp === "blackout") this.#tones([{ type: "triangle", from: 500, to: 90, s: 0.5, gain: 0.35 }]);
        else this.#chord([659, 880, 1175], 0.06, "triangle");
        break;
      case "countdown":
        this.#tones([{ type: "square", from: 440, s: 0.12, gain: 0.14 }]);
        break;
      case "go":
        this.#tones([{ type: "square", from: 880, s: 0.28, gain: 0.16 }]);
        break;
      case "paused":
        this.#chord([440, 330], 0.09, "triangle");
        break;
    }
  }

  /** A ball met a wall. */
  wall(): void {
    this.#tones([{ type: "sine", from: 300, to: 240, s: 0.05, gain: 0.2 }]);
  }

  over(own: -1 | 0 | 1): void {
    if (own < 0) this.#chord([392, 330, 262, 196], 0.16, "triangle");
    else this.#chord([523, 659, 784, 1047], 0.13, "square");
  }

  #hit(speed: number): void {
    const pitch = 300 + Math.min(1500, speed) * 0.35;
    this.#tones([
      { type: "triangle", from: pitch * 1.4, to: pitch, s: 0.09, gain: 0.5 },
      { type: "square", from: pitch / 2, s: 0.04, gain: 0.1 },
    ]);
    if (speed > 1100) this.#hiss(0.08, 0.18, 3200);
  }

  #chord(notes: number[], stepS: number, type: OscillatorType): void {
    this.#tones(notes.map((from, i) => ({ type, from, at: i * stepS, s: stepS * 2.2, gain: type === "square" ? 0.12 : 0.3 })));
  }

  #tones(tones: Tone[]): void {
    const [context, out] = this.#ready();
    if (context === null || out === null) return;
    for (const { type, from, to, at = 0, s, gain } of tones) {
      const start = context.currentTime + at;
      const oscillator = context.createOscillator();
      const envelope = context.createGain();
      oscillator.type = type;
      oscillator.frequency.setValueAtTime(from, start);
      if (to !== undefined) oscillator.frequency.exponentialRampToValueAtTime(to, start + s);
      envelope.gain.setValueAtTime(0.0001, start);
      envelope.gain.exponentialRampToValueAtTime(gain, start + 0.006);
      envelope.gain.exponentialRampToValueAtTime(0.0001, start + s);
      oscillator.connect(envelope).connect(out);
      oscillator.start(start);
      oscillator.stop(start + s + 0.02);
    }
  }

  #hiss(s: number, gain: number, frequency: number): void {
    const [context, out] = this.#ready();
    if (context === null || out === null) return;
    this.#noise ??= whiteNoise(context);
    const source = context.createBufferSource();
    const filter = context.createBiquadFilter();
    const envelope = context.createGain();
    source.buffer = this.#noise;
    filter.type = "bandpass";
    filter.frequency.value = frequency;
    envelope.gain.setValueAtTime(gain, context.currentTime);
    envelope.gain.exponentialRampToValueAtTime(0.0001, context.currentTime + s);
    source.connect(filter).connect(envelope).connect(out);
    source.start();
    source.stop(context.currentTime + s);
  }

  #ready(): [AudioContext, GainNode] | [null, null] {
    if (!settings.sound.value || this.#context?.state !== "running" || this.#out === null) return [null, null];
    return [this.#context, this.#out];
  }
}

function whiteNoise(context: AudioContext): AudioBuffer {
  const buffer = context.createBuffer(1, context.sampleRate, context.sampleRate);
  const samples = buffer.getChannelData(0);
  for (let i = 0; i < samples.length; i++) samples[i] = Math.random() * 2 - 1;
  return buffer;
}

export const sound = new Sound();
