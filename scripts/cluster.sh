# A development cluster for scripts: on free ports, with data of its own, stopped by its process id. Sourced after
# lib.sh, never run.
#
#   start_cluster PROGRAM DIR    starts `PROGRAM dev` below DIR and waits until all four nodes are ready;
#                                sets edges (their URLs, separated by a comma) and cluster_pid
#   stop_cluster                 ends it and waits; fails when it does not go by itself
#   run_swarm PROGRAM PLAYERS SECONDS JSON...   the load generator against $edges
#   run_swarm_chat PROGRAM READERS JSON...      one channel in which more and more is said
#   run_swarm_idle PROGRAM CONNECTIONS JSON...  connections that do nothing, and the memory that they cost
# shellcheck shell=bash
# shellcheck source=scripts/lib.sh

ready_s_max=60
stop_s_max=45

cluster_pid=
edges=
admin_ports=()

listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_ports N: the first of N consecutive ports of 127.0.0.1 on which nobody listens. Below 32768, where the kernel
# does not take ports for outgoing connections.
free_ports() {
    local first port
    for _ in {1..100}; do
        first=$((20000 + (RANDOM % 1000) * 10))
        for ((port = first; port < first + $1; port++)); do
            if listens "$port"; then continue 2; fi
        done
        echo "$first"
        return
    done
    die "found no $1 free ports in a row"
}

start_cluster() {
    local program=$1 dir=$2 port admin waited
    port=$(free_ports 6)
    admin=$((port + 2))
    edges="http://127.0.0.1:$port,http://127.0.0.1:$((port + 1))"
    admin_ports=("$admin" $((admin + 1)) $((admin + 2)) $((admin + 3)))
    # Its own Redis and Postgres, whatever this shell points to; the load comes from few addresses and may.
    env -u RALLY_REDIS_URL -u RALLY_DATABASE_URL RALLY_DEV_PORT="$port" RALLY_DEV_ADMIN_PORT="$admin" \
        RALLY_LIMIT_EXEMPT=127.0.0.0/8 "$program" dev --data-dir "$dir/data" >"$dir/cluster.log" 2>&1 </dev/null &
    cluster_pid=$!
    for port in "${admin_ports[@]}"; do
        waited=0
        until curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$port/readyz"; do
            if ! kill -0 "$cluster_pid" 2>/dev/null || [ $((waited += 1)) -gt $((ready_s_max * 5)) ]; then
                tail -n 40 "$dir/cluster.log" >&2
                die "the cluster did not become ready (admin port $port)"
            fi
            sleep 0.2
        done
    done
}

stop_cluster() {
    [ -n "$cluster_pid" ] || return 0
    local pid=$cluster_pid waited=0
    cluster_pid=
    kill -TERM "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do
        if [ $((waited += 1)) -gt $((stop_s_max * 5)) ]; then
            kill -KILL "$pid" 2>/dev/null
            warn "the cluster did not end within $stop_s_max s of SIGTERM"
            return 1
        fi
        sleep 0.2
    done
    wait "$pid" 2>/dev/null || true
}

# The one place where the scripts know swarm's flags. More of them may follow the JSON file's name. The nodes are sought
# below our own `rally dev`: others may run on this machine.
run_swarm() {
    local program=$1 players=$2 seconds=$3 json=$4
    shift 4
    "$program" play --edges "$edges" --under "$cluster_pid" --players "$players" --duration-s "$seconds" --json "$json" "$@"
}

run_swarm_idle() {
    local program=$1 connections=$2 json=$3
    shift 3
    "$program" idle --edges "$edges" --under "$cluster_pid" --connections "$connections" --json "$json" "$@"
}

run_swarm_chat() {
    local program=$1 readers=$2 json=$3
    shift 3
    "$program" chat --edges "$edges" --under "$cluster_pid" --readers "$readers" --json "$json" "$@"
}
