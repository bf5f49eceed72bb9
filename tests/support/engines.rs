//! Suites that call a server run each case on every engine.

/// Makes one test of each case and engine.
macro_rules! cases {
    ($($room:ident: $($case:ident)*;)*) => {
        cases!(@engine sqlite_memory SqliteMemory $($room: $($case)*;)*);
        cases!(@engine postgres Postgres $($room: $($case)*;)*);
    };
    (@engine $name:ident $engine:ident $($room:ident: $($case:ident)*;)*) => {
        mod $name {
            use crate::{database::{Engine, with_database}, server::Server};
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    with_database(Engine::$engine, async |database| {
                        crate::$room::$case(Server::replica(database.store().await)).await;
                    })
                    .await;
                }
            )*)*
        }
    };
}
