//! SIGTERM under load: what was taken on is answered, and who asks another server then loses nothing.

use tonic::{Code, Status};

use super::{
    checker,
    load::{Deed, KINDS, Ledger},
};
use crate::harness::{ServerProcess, connect, in_time};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_end_under_load_fails_no_call() {
    let [first_folder, second_folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let first = ServerProcess::start(first_folder.path(), &[]).await;
    let second = ServerProcess::start(second_folder.path(), &[]).await;
    let ledger = Ledger::default();
    let mut channels = Vec::new();
    for _ in 0..KINDS {
        channels.push(connect(&first.address).await);
    }
    let load =
        futures_util::future::join_all((0..KINDS).zip(channels).map(|(kind, channel)| ledger.work(channel, kind)));
    let end = async {
        ledger.wait_for(40).await;
        first.signal("TERM");
    };
    let (endings, ()) = in_time(futures_util::future::join(load, end)).await;
    assert_eq!(first.exit_code().await, Some(0));

    // What a client is told means: ask elsewhere. There it is done.
    let other = connect(&second.address).await;
    assert!(endings.iter().all(says_ask_elsewhere), "{endings:?}");
    let refused: Vec<Deed> = ledger.entries().into_iter().filter(|entry| !entry.1).map(|entry| entry.0).collect();
    assert_eq!(refused.len(), KINDS, "every client ended with one refusal");
    for deed in refused {
        in_time(deed.perform(&other)).await.unwrap();
    }
    // And what was acknowledged is there, once, for whoever serves next.
    let again = ServerProcess::start(first_folder.path(), &[]).await;
    checker::check(&again, &ledger).await;
}

/// Either the server's word, or that of the client's own transport, which could not send the call.
fn says_ask_elsewhere(status: &Status) -> bool {
    let unsent = status.code() == Code::Cancelled && status.message() == "operation was canceled";
    status.code() == Code::Unavailable || unsent
}
