//! Real servers on free loopback ports, faults between them and us, and waiting for conditions: for tests only.
//!
//! Contract: what starts here ends with the test process, however that ends (SIGKILL included), and leaves no file.
//! Everything panics with the reason when the machine cannot do it: a test without its server has nothing to say.
//! Missing programs are named with the Debian package that holds them.

pub mod authority;
pub mod cluster;
pub mod eventually;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod sentinel;

pub use authority::{Authority, Certificate};
pub use cluster::RedisCluster;
pub use eventually::{eventually, eventually_ok};
pub use postgres::{Postgres, TestDb};
pub use proxy::{Proxy, Way};
pub use redis::Redis;
pub use sentinel::RedisSentinel;
