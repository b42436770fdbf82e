//! Backups as `deploy/backup` makes them, and what they are good for: restored on trial, and for real.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use rally_manifests::repository;
use rally_service::local::{ScratchDir, find_postgres};
use rally_testkit::{Authority, Postgres, TestDb};

use crate::support::{
    Site,
    process::{run, said, vars},
};

/// A folder with the scripts, for dumps and for drills, which others than root may enter.
struct Bench {
    dir: ScratchDir,
    path: String,
}

impl Bench {
    fn new() -> Self {
        let dir = ScratchDir::new("backups").unwrap();
        for name in ["", "scripts", "dumps", "drill"] {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        for entry in fs::read_dir(repository().join("deploy/backup")).unwrap().flatten() {
            fs::copy(entry.path(), dir.path().join("scripts").join(entry.file_name())).unwrap();
        }
        let programs = find_postgres().unwrap().remove(0).path;
        let path = format!("{}:{}", programs.parent().unwrap().display(), std::env::var("PATH").unwrap());
        Self { dir, path }
    }

    fn dumps(&self) -> PathBuf {
        self.dir.path().join("dumps")
    }

    /// Runs a script, and as somebody else when this is root, whom Postgres refuses.
    fn run(&self, script: &str, args: &[&str], vars: &[(&str, &str)]) -> Output {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "bash"]);
            command
        } else {
            Command::new("bash")
        };
        command.arg(self.dir.path().join("scripts").join(script)).args(args);
        command.env_clear().env("PATH", &self.path).env("BACKUP_DIR", self.dumps());
        command.env("DRILL_DIR", self.dir.path().join("drill")).envs(vars.iter().copied());
        command.current_dir("/").output().unwrap()
    }

    fn backup(&self, url: &str) -> Output {
        self.run("backup.sh", &[], &[("RALLY_DATABASE_URL", url)])
    }

    fn drill(&self) -> Output {
        self.run("restore-drill.sh", &[], &[])
    }

    fn files(&self, ends: &str) -> Vec<PathBuf> {
        let all = fs::read_dir(self.dumps()).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.to_str().unwrap().ends_with(ends)).collect()
    }
}

/// A database with some people and matches in it.
async fn filled() -> Site {
    let site = Site::start().await;
    let db = site.db.connect().await;
    db.batch_execute(
        "INSERT INTO users (id, kind, name) SELECT gen_random_uuid(), 'guest', 'guest ' || n FROM generate_series(1, 500) n;
         INSERT INTO matches (id, mode, classic, private, score_to_win, seed, rules_version, left_seat, left_user,
                              right_seat, owner_node, owner_incarnation, epoch)
         SELECT gen_random_uuid(), 'practice', false, false, 11, 1, 1, 'player', id, 'bot_easy', 1, 1, 1 FROM users",
    )
    .await
    .unwrap();
    site
}

/// With a password that means something to a shell and in a URL.
fn with_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, place) = rest.split_once('@').unwrap();
    let user = user.split(':').next().unwrap();
    format!("{scheme}://{user}:%24x%20%25%27@{place}")
}

async fn contents(db: &TestDb) -> Vec<String> {
    let client = db.connect().await;
    let mut all = Vec::new();
    for table in ["users", "matches", "refinery_schema_history"] {
        let rows = client.query(&format!("SELECT t::text FROM {table} t ORDER BY 1"), &[]).await.unwrap();
        all.extend(rows.iter().map(|row| format!("{table} {}", row.get::<_, &str>(0))));
    }
    all
}

fn set_age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[tokio::test]
async fn a_backup_is_restored_on_trial_and_for_real() {
    let (site, bench) = (filled().await, Bench::new());
    let refused = bench.drill();
    assert!(!refused.status.success() && said(&refused).contains("there is no dump"), "{}", said(&refused));

    // As the role that reads everything and changes nothing; restored by who owns the tables.
    let made = bench.backup(&with_password(&site.db.url_as("rally_backup")));
    assert!(made.status.success() && said(&made).contains("1 dumps kept"), "{}", said(&made));
    assert!(!said(&made).contains("$x"), "{}", said(&made));
    let dump = bench.files(".dump").remove(0);
    assert_eq!(fs::metadata(&dump).unwrap().permissions().mode() & 0o077, 0, "others cannot read it");

    let drilled = bench.drill();
    let version: i32 = site
        .db
        .connect()
        .await
        .query_one("SELECT max(version) FROM refinery_schema_history", &[])
        .await
        .unwrap()
        .get(0);
    let expected = format!("schema {version}, 500 users, 500 matches");
    assert!(drilled.status.success() && said(&drilled).contains(&expected), "{}", said(&drilled));
    assert_eq!(fs::read_dir(bench.dir.path().join("drill")).unwrap().count(), 0, "the drill leaves nothing");

    // For real: into an empty database only, and then all is as it was.
    let restore = |db: &TestDb| bench.run("restore.sh", &[], &[("RALLY_DATABASE_URL", &with_password(db.url()))]);
    let refused = restore(&site.db);
    assert!(!refused.status.success() && said(&refused).contains("tables already"), "{}", said(&refused));
    let fresh = Postgres::shared().await.fresh_database().await;
    let restored = restore(&fresh);
    assert!(restored.status.success(), "{}", said(&restored));
    assert_eq!(contents(&fresh).await, contents(&site.db).await);
    assert!(contents(&fresh).await.len() > 1_000);
    // But for what roles may do, which a migration says anew.
    let reads = "SELECT has_table_privilege('rally_edge', 'users', 'SELECT')";
    let may_read = async || fresh.connect().await.query_one(reads, &[]).await.unwrap().get::<_, bool>(0);
    assert!(!may_read().await);
    let migrated = run(&["migrate"], &vars([("RALLY_DATABASE_URL", fresh.url())]));
    assert!(migrated.status.success() && may_read().await, "{}", said(&migrated));
}

#[tokio::test]
async fn a_bad_backup_is_noticed_and_a_failed_one_costs_nothing() {
    let (site, bench) = (filled().await, Bench::new());
    let made = bench.backup(site.db.url());
    assert!(made.status.success(), "{}", said(&made));
    // Under another name: the next one may be made within the same second.
    let dump = bench.dumps().join("rally-20200101T000000Z.dump");
    fs::rename(bench.files(".dump").remove(0), &dump).unwrap();

    // Too old.
    set_age(&dump, 3);
    let refused = bench.drill();
    assert!(!refused.status.success() && said(&refused).contains("hours old"), "{}", said(&refused));

    // A backup that fails leaves the old ones, however old, and nothing that looks like one.
    set_age(&dump, 40);
    let failed = bench.backup("postgres://rally@127.0.0.1:1/rally");
    assert!(!failed.status.success(), "{}", said(&failed));
    assert_eq!((bench.files(".dump").len(), bench.files(".part").len()), (1, 0));

    // One that succeeds removes what is older than a month.
    let made = bench.backup(site.db.url());
    assert!(made.status.success() && said(&made).contains("1 dumps kept"), "{}", said(&made));
    let newest = bench.files(".dump").remove(0);
    assert_ne!(newest, dump);

    // A byte that has changed.
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let fresh = Postgres::shared().await.fresh_database().await;
    let url = [("RALLY_DATABASE_URL", fresh.url())];
    for refused in [bench.drill(), bench.run("restore.sh", &[], &url)] {
        assert!(!refused.status.success() && said(&refused).contains("is not what was written"), "{}", said(&refused));
    }
}

#[tokio::test]
async fn a_backup_goes_over_tls_where_the_url_says_so() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let postgres = Postgres::start_with_tls(&authority.certify(&["localhost"])).await;
    let db = postgres.fresh_database().await;
    db.connect().await.batch_execute("CREATE TABLE users (id int)").await.unwrap();
    let (bench, url) = (Bench::new(), db.url().replace("127.0.0.1", "localhost") + "?sslmode=verify-full");
    let backup = |authority: &Authority| {
        // Where who is not root may read it.
        let ca = bench.dir.path().join("dumps/ca.crt");
        fs::copy(authority.file(), &ca).unwrap();
        fs::set_permissions(&ca, fs::Permissions::from_mode(0o644)).unwrap();
        bench.run("backup.sh", &[], &[("RALLY_DATABASE_URL", &url), ("RALLY_DATABASE_CA_FILE", ca.to_str().unwrap())])
    };
    let refused = backup(&stranger);
    assert!(!refused.status.success() && said(&refused).contains("certificate verify failed"), "{}", said(&refused));
    let made = backup(&authority);
    assert!(made.status.success() && said(&made).contains("1 dumps kept"), "{}", said(&made));
}
