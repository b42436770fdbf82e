//! The users of Redis and the roles of Postgres, as operators make them: by the scripts of `deploy`, with passwords that
//! count. What each may do is tested by all others, which run as them.

use std::{fs, path::Path, process::Command};

use rally_manifests::repository;
use rally_service::local::{LocalPostgres, LocalRedis, PostgresOptions, RedisOptions, ScratchDir, find_postgres};

use crate::support::process::{run, said, vars};

fn script(path: &str, args: &[&Path], vars: &[(&str, &str)]) -> String {
    let mut command = Command::new("bash");
    command.arg(repository().join(path)).args(args).envs(vars.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{path}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with `deploy`, in which `secrets.sh` has made its secrets.
fn made_secrets() -> ScratchDir {
    let dir = ScratchDir::new("compose").unwrap();
    for path in ["deploy/compose/secrets.sh", "deploy/redis/acl.sh", "deploy/redis/users.rules"] {
        let to = dir.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(repository().join(path), to).unwrap();
    }
    let made = Command::new("bash").arg(dir.path().join("deploy/compose/secrets.sh")).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    dir
}

#[tokio::test]
async fn the_secrets_of_compose_open_the_servers_of_compose() {
    let dir = made_secrets();
    let secrets = dir.path().join("deploy/compose/secrets");
    let secret = |name: &str| fs::read_to_string(secrets.join(name)).unwrap().trim().to_owned();
    // Once made they stay: other passwords would lock everybody out.
    let before = secret("edge_redis_url");
    script_in(&dir);
    assert_eq!(secret("edge_redis_url"), before);

    let mut options = RedisOptions::new(dir.path().join("redis"));
    options.password = Some(secret("redis_password").into());
    options.settings = vec![("aclfile".to_owned(), secrets.join("redis_acl").display().to_string())];
    let redis = LocalRedis::start(&options).await.unwrap();
    let options = PostgresOptions {
        password: Some(secret("postgres_password").into()),
        durable: false,
        ..PostgresOptions::new(dir.path().join("postgres"))
    };
    let postgres = LocalPostgres::start(&options).await.unwrap();
    let programs = find_postgres().unwrap().remove(0).path;
    let path = format!("{}:{}", programs.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let port = postgres.port().to_string();
    let owner = [
        ("PATH", &*path),
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGPASSWORD", &secret("postgres_password")),
        ("SECRETS_DIR", secrets.to_str().unwrap()),
    ];
    // As the image does when the database is made, and again, as for a database that was there before.
    for _ in 0..2 {
        let roles = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--username=rally", "--dbname=rally", "--file"])
            .arg(repository().join("deploy/postgres/roles.sql"))
            .envs(owner)
            .output()
            .unwrap();
        assert!(roles.status.success(), "{}", said(&roles));
        script("deploy/postgres/passwords.sh", &[], &owner);
    }
    let here = |url: String| {
        url.replace("@redis:6379", &format!("@127.0.0.1:{}", redis.port()))
            .replace("@postgres:5432", &format!("@127.0.0.1:{port}"))
    };
    let migrated = run(&["migrate"], &vars([("RALLY_DATABASE_URL", here(secret("database_url")))]));
    assert!(migrated.status.success(), "{}", said(&migrated));
    for role in ["edge", "worker", "backup"] {
        let url = here(secret(&format!("{role}_database_url")));
        let count = |url: &str| {
            let args = ["--no-psqlrc", "--tuples-only", "--command=SELECT 'read ' || count(*) FROM matches", url];
            said(&Command::new("psql").args(args).env("PATH", &path).output().unwrap())
        };
        assert_eq!(count(&url).trim(), "read 0", "{role}");
        let wrong = count(&url.replace(&secret(&format!("postgres_{role}_password")), "another"));
        assert!(wrong.contains("password authentication failed"), "{role}: {wrong}");
    }
    for user in ["rally-edge", "rally-worker"] {
        let password = secret(&format!("redis_users/{user}"));
        let ping = |password: &str| {
            let port = redis.port().to_string();
            let args = ["-p", &port, "-e", "--no-auth-warning", "--user", user, "--pass", password, "PING"];
            said(&Command::new("redis-cli").args(args).output().unwrap())
        };
        assert_eq!(ping(&password).trim(), "PONG");
        assert!(ping("another").contains("WRONGPASS"), "{}", ping("another"));
    }
}

fn script_in(dir: &ScratchDir) {
    let again = Command::new("bash").arg(dir.path().join("deploy/compose/secrets.sh")).output().unwrap();
    assert!(again.status.success(), "{}", said(&again));
}
