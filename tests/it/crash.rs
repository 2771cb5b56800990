//! What is left when the process is killed: all that was acknowledged, nothing that was not, and no lock.

use ticket_triage::pb;

use crate::harness::{HeldWrites, ServerProcess, article, frame, in_time, upsert};

#[tokio::test]
async fn articles_that_were_acknowledged_survive_a_kill_and_the_directory_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.knowledge().await;
    let articles = (0..40).map(|n| article(&format!("KB{n:02}"), "Printer offline", "Switch it on at the wall."));
    let answer = upsert(&mut client, articles.collect()).await;
    server.signal("KILL");
    assert_eq!(answer.imported, 40);
    assert_eq!(server.exit_code().await, None);

    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.knowledge().await;
    let list = pb::ListArticlesRequest {
        page_size: Some(1_000),
        page_token: String::new(),
        ..pb::ListArticlesRequest::default()
    };
    let listed = client.list_articles(list).await.unwrap().into_inner();
    assert_eq!((listed.total, listed.articles.len()), (40, 40));
    let search = pb::SearchArticlesRequest {
        query: "printer wall".to_owned(),
        page_size: Some(100),
        ..pb::SearchArticlesRequest::default()
    };
    assert_eq!(client.search_articles(search).await.unwrap().into_inner().articles.len(), 40);
}

#[tokio::test]
async fn an_import_that_was_killed_half_way_leaves_nothing_of_its_last_frame() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.knowledge().await;
    upsert(&mut client, vec![article("KB1", "Printer offline", "")]).await;
    let held = HeldWrites::new(folder.path());
    let frames = [frame(vec![article("KB2", "Scanner offline", "")])];
    let import = tokio::spawn(async move { client.upsert_articles(tokio_stream::iter(frames)).await });
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);
    drop(held);
    in_time(import).await.unwrap().unwrap_err();

    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.knowledge().await;
    client.get_article(pb::GetArticleRequest { id: "KB1".to_owned(), version: None }).await.unwrap();
    client.get_article(pb::GetArticleRequest { id: "KB2".to_owned(), version: None }).await.unwrap_err();
}

#[tokio::test]
async fn an_index_that_was_lost_or_damaged_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    upsert(&mut server.knowledge().await, vec![article("KB1", "Printer offline", "")]).await;
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));

    // The database is the source of truth: whatever else lies in the directory is derived from it.
    let index = folder.path().join("index/articles");
    let spoil_every_file = || {
        for file in std::fs::read_dir(&index).unwrap().map(|entry| entry.unwrap().path()) {
            std::fs::write(file, "spoilt").unwrap();
        }
    };
    let remove = || std::fs::remove_dir_all(&index).unwrap();
    for damage in [&spoil_every_file as &dyn Fn(), &remove] {
        damage();
        let server = ServerProcess::start(folder.path(), &[]).await;
        let search = pb::SearchArticlesRequest { query: "printer".to_owned(), ..pb::SearchArticlesRequest::default() };
        let found = server.knowledge().await.search_articles(search).await.unwrap().into_inner().articles;
        assert_eq!(found.len(), 1);
        server.signal("TERM");
        assert_eq!(server.exit_code().await, Some(0));
    }
}
