//! Of several workers one removes what nobody needs any more.

use std::time::Duration;

use rally_testkit::eventually;
use rally_worker::{RetentionConfig, WorkerConfig};

use crate::support::{Cluster, LONG};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn what_is_old_goes_while_workers_come_and_go() {
    let mut cluster = Cluster::start().await;
    let sql = cluster.db.connect().await;
    let user = cluster.guest("ada").await.id;
    for _ in 0..20 {
        cluster.store.start_login(user, "browser", DAY).await.unwrap();
    }
    let expire = async |n: usize| {
        let some = format!(
            "UPDATE logins SET expires_at = now() - interval '1 s' WHERE id IN
                (SELECT id FROM logins WHERE expires_at > now() LIMIT {n})"
        );
        sql.batch_execute(&some).await.unwrap();
    };
    let left = async || sql.query_one("SELECT count(*) FROM logins", &[]).await.unwrap().get::<_, i64>(0);
    expire(15).await;
    let retention = RetentionConfig { batch: 4, ..RetentionConfig::FOR_EVER };
    cluster.config = WorkerConfig { retention, ..cluster.config };
    let (one, two) = (cluster.worker("worker-1").await, cluster.worker("worker-2").await);
    eventually(LONG, async || left().await == 5).await;
    // Who sweeps next begins from the start: one that comes once the others are gone.
    for worker in [one, two] {
        worker.drain.begin(Duration::from_secs(1));
        worker.task.await.unwrap().unwrap();
    }
    expire(3).await;
    let three = cluster.worker("worker-3").await;
    eventually(LONG, async || left().await == 2).await;
    three.drain.begin(Duration::from_secs(1));
    three.task.await.unwrap().unwrap();
}
