// A group's affairs: who is in it, and keeping order there.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Refused, searchUsers, talk as net } from "rally-sdk";

import { listen, session, user } from "../app.ts";
import { chosen, refresh } from "../talk.ts";

const RANK: Record<net.Role, number> = { member: 0, moderator: 1, owner: 2 };
const MUTE_S = 10 * 60;

export function GroupAffairs({ channel }: { channel: string }) {
  const group = useSignal<net.Group | null>(null);
  const name = useSignal("");
  const title = useSignal("");
  const said = useSignal<string | null>(null);

  const load = async () => {
    group.value = await net.group(channel, await session.fresh()).catch(() => null);
    title.value = group.value?.title ?? "";
  };
  useEffect(() => {
    void load();
    return listen((message) => {
      if (message.type === "group" && message.channel === channel && message.change !== "deleted") void load();
    });
  }, [channel]);

  /** Does it, and says why not. */
  const act = async (what: (token: string) => Promise<unknown>) => {
    said.value = null;
    try {
      await what(await session.fresh());
      await load();
      refresh();
    } catch (error) {
      said.value = error instanceof Refused ? error.message : "Rally cannot be reached.";
    }
  };
  const leave = (what: (channel: string, token: string) => Promise<void>) =>
    act(async (token) => {
      await what(channel, token);
      chosen.value = "global";
    });

  const now = group.value;
  if (now === null) return null;
  const moderates = RANK[now.role] > 0;
  return (
    <section class="affairs">
      <ul>
        {now.members.map((member) => (
          <li key={member.user.id}>
            <span>
              {member.user.name} <span class="hint">{member.role === "member" ? "" : member.role}</span>
              {member.muted_until !== null && <span class="hint"> muted</span>}
            </span>
            {RANK[now.role] > RANK[member.role] && member.user.id !== user.value?.id && (
              <Deeds group={now} member={member} act={act} />
            )}
          </li>
        ))}
        {now.invited.map(({ user: invited }) => (
          <li key={invited.id}>
            <span>
              {invited.name} <span class="hint">invited</span>
            </span>
            {moderates && (
              <button type="button" class="quiet" onClick={() => void act((t) => net.uninvite(channel, invited.id, t))}>
                Take back
              </button>
            )}
          </li>
        ))}
      </ul>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.value === "") return;
          void act(async (token) => {
            const found = await searchUsers(name.value, token);
            const one = found.items.find((user) => user.name.toLowerCase() === name.value.toLowerCase());
            if (one === undefined) throw new Refused("not_found", 404, "There is no account of that name.");
            await net.invite(channel, one.id, token);
            name.value = "";
          });
        }}
      >
        <label class="unseen" for="invite">
          Whom to invite
        </label>
        <input
          id="invite"
          type="text"
          autocomplete="off"
          maxLength={20}
          placeholder="Whom to invite"
          value={name.value}
          onInput={(event) => {
            name.value = event.currentTarget.value.trim();
          }}
        />
        <button type="submit">Invite</button>
      </form>
      {moderates && (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            void act((token) => net.changeGroup(channel, { title: title.value }, token));
          }}
        >
          <label class="unseen" for="title">
            Title
          </label>
          <input
            id="title"
            type="text"
            autocomplete="off"
            maxLength={60}
            value={title.value}
            onInput={(event) => {
              title.value = event.currentTarget.value;
            }}
          />
          <button type="submit">Rename</button>
        </form>
      )}
      {said.value !== null && <p class="hint wrong">{said.value}</p>}
      <div class="row">
        {moderates && (
          <label class="check">
            <input
              type="checkbox"
              checked={now.slow_s > 0}
              onChange={(event) => {
                const slow_s = event.currentTarget.checked ? 30 : 0;
                void act((token) => net.changeGroup(channel, { slow_s }, token));
              }}
            />
            <span>Slow: one message in 30 s</span>
          </label>
        )}
        <button type="button" class="quiet" onClick={() => void leave(net.leaveGroup)}>
          Leave
        </button>
        {now.role === "owner" && (
          <button type="button" class="danger" onClick={() => void leave(net.deleteGroup)}>
            End group
          </button>
        )}
      </div>
    </section>
  );
}

interface DeedsProps {
  group: net.Group;
  member: net.Member;
  act: (what: (token: string) => Promise<unknown>) => Promise<void>;
}

function Deeds({ group: { name, role }, member, act }: DeedsProps) {
  const id = member.user.id;
  const deed = (label: string, what: (token: string) => Promise<unknown>) => (
    <button type="button" class="quiet" onClick={() => void act(what)}>
      {label}
    </button>
  );
  const isMuted = member.muted_until !== null;
  return (
    <span class="deeds">
      {deed(isMuted ? "Unmute" : "Mute 10 min", (t) => net.changeMember(name, id, { mute_s: isMuted ? 0 : MUTE_S }, t))}
      {deed("Kick", (t) => net.kick(name, id, t))}
      {deed("Ban", (t) => net.ban(name, id, t))}
      {role === "owner" &&
        deed(member.role === "moderator" ? "Demote" : "Make moderator", (t) =>
          net.changeMember(name, id, { role: member.role === "moderator" ? "member" : "moderator" }, t),
        )}
      {role === "owner" && deed("Hand over", (t) => net.changeMember(name, id, { role: "owner" }, t))}
    </span>
  );
}
