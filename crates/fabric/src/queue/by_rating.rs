//! Pairing by rating: who has waited longest chooses first, and takes the nearest of those in reach.
//!
//! A ticket reaches 100 points to both sides, and 50 more with each second that it waits; two can play each other if each
//! is within the other's reach. Who waits longer reaches farther, so that of two the younger's reach decides.
//!
//! In the script tickets of one rating stand in one group, in the order in which they came: only its first can be the
//! one to take, since the others reach no farther. Groups are walked from the chooser's outwards. That is quick whatever
//! the ratings: a walk goes on past a group only if that is more than 100 points away, and all who find nobody are more
//! than 100 points from each other.

use std::sync::LazyLock;

use rally_protocol::client::v1::Mode;
use rally_units::MatchId;

use super::{
    Pair, Queue,
    scripts::{PRELUDE, call, read_pairs},
};
use crate::{RedisError, commands::Script};

/// The reach of a ticket that has just come.
const REACH: u32 = 100;
/// By how much it grows with each second.
const REACH_PER_S: u32 = 50;
/// Tickets looked at in one step, the oldest. Of so many nearly all are paired.
const CONSIDERED_MAX: u32 = 2_000;

/// ARGV: tickets at most, reach, reach per second, matches. Returns match and two tickets for each pair.
static PAIR: LazyLock<Script> = LazyLock::new(|| {
    const BODY: &str = r#"
local reach_min, reach_per_s = tonumber(ARGV[2]), tonumber(ARGV[3])
local first = redis.call('ZRANGE', waiting, 0, ARGV[1] - 1, 'WITHSCORES')
if #first < 4 then return {} end
local line, names, groups, by_rating = {}, {}, {}, {}
for i = 1, #first, 2 do names[#names + 1] = first[i] end
local found = redis.call('HMGET', tickets, unpack(names))
for n, user in ipairs(names) do
  local rating = tonumber(string.match(found[n] or '', '"rating":(%-?%d+)')) or 1500
  local waited_s = math.floor(math.max(0, now_us - tonumber(first[2 * n])) / 1000000)
  local group = by_rating[rating]
  if not group then
    group = {rating = rating, head = 1, tickets = {}}
    by_rating[rating] = group
    groups[#groups + 1] = group
  end
  local ticket = {n = n, user = user, reach = reach_min + reach_per_s * waited_s, group = group}
  group.tickets[#group.tickets + 1] = ticket
  line[n] = ticket
end
table.sort(groups, function(a, b) return a.rating < b.rating end)
for i, group in ipairs(groups) do
  group.below, group.above = groups[i - 1], groups[i + 1]
end
local function take(ticket)
  local group = ticket.group
  ticket.taken = true
  group.head = group.head + 1
  if group.head > #group.tickets then
    if group.below then group.below.above = group.above end
    if group.above then group.above.below = group.below end
  end
end
local function head_of(group) return group and group.tickets[group.head] end
local answer, matches = {}, 4
for _, chooser in ipairs(line) do
  if matches > #ARGV then break end
  if not chooser.taken then
    local group, other = chooser.group, nil
    take(chooser)
    local below, above = group.below, group.above
    if head_of(group) then
      other = head_of(group)
    else
      while below or above do
        local down = below and group.rating - below.rating or math.huge
        local up = above and above.rating - group.rating or math.huge
        local nearest, distance = above, up
        if down < up or down == up and head_of(below).n < head_of(above).n then
          nearest, distance = below, down
        end
        if distance > chooser.reach then break end
        if distance <= head_of(nearest).reach then
          other = head_of(nearest)
          break
        end
        if nearest == below then below = below.below else above = above.above end
      end
    end
    if other then
      take(other)
      local match = ARGV[matches]
      matches = matches + 1
      local pair = pend(match, {chooser.user, other.user})
      for _, part in ipairs({match, pair[1], pair[2]}) do answer[#answer + 1] = part end
    end
  end
end
return answer
"#;
    Script::joined(format!("{PRELUDE}{BODY}"))
});

impl Queue {
    pub(super) async fn script_pair_by_rating(
        &self,
        mode: Mode,
        match_ids: &[MatchId],
    ) -> Result<Vec<Pair>, RedisError> {
        const OPERATION: &str = "queue_pair_by_rating";
        let call = call(mode).arg(CONSIDERED_MAX).arg(REACH).arg(REACH_PER_S);
        let call = match_ids.iter().fold(call, crate::commands::Call::arg);
        read_pairs(OPERATION, self.run(OPERATION, &PAIR, call).await?)
    }
}
