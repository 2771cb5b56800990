//! `KnowledgeService.SuggestAnswers`: conversations with a real server, from the first turn to an answer, a question asked
//! back, or a hand-over.

use ticket_triage::pb::{self, knowledge_service_client::KnowledgeServiceClient};
use tonic::{Code, Status, transport::Channel};

use crate::harness::{ServerProcess, TestServer, article, frame, reason, run, ticket, upsert, violated_fields};

/// A conversation as a bot holds it: the turns and what the answer before gave.
struct Chat {
    client: KnowledgeServiceClient<Channel>,
    earlier: Vec<pb::Turn>,
    conversation: String,
}

impl Chat {
    async fn with(server: &TestServer) -> Self {
        Self { client: server.knowledge().await, earlier: Vec::new(), conversation: String::new() }
    }

    async fn ask(&mut self, request: pb::SuggestAnswersRequest) -> Result<pb::SuggestAnswersResponse, Status> {
        Ok(self.client.suggest_answers(request).await?.into_inner())
    }

    async fn try_say(&mut self, text: &str) -> Result<pb::SuggestAnswersResponse, Status> {
        let request = pb::SuggestAnswersRequest {
            text: text.to_owned(),
            earlier_turns: self.earlier.clone(),
            conversation: self.conversation.clone(),
            ..pb::SuggestAnswersRequest::default()
        };
        let answer = self.ask(request).await?;
        self.earlier.push(turn(text));
        self.conversation.clone_from(&answer.conversation);
        assert_ne!(answer.answers.is_empty(), answer.no_answer.is_none(), "{answer:?}");
        Ok(answer)
    }

    async fn say(&mut self, text: &str) -> pb::SuggestAnswersResponse {
        self.try_say(text).await.unwrap()
    }
}

fn turn(text: &str) -> pb::Turn {
    pb::Turn { speaker: pb::Speaker::User.into(), text: text.to_owned() }
}

fn asked(text: &str) -> pb::SuggestAnswersRequest {
    pb::SuggestAnswersRequest { text: text.to_owned(), ..pb::SuggestAnswersRequest::default() }
}

fn shown(answer: &pb::SuggestAnswersResponse) -> Vec<&str> {
    answer.answers.iter().map(|answer| answer.article_id.as_str()).collect()
}

fn why(answer: &pb::SuggestAnswersResponse) -> pb::NoAnswerReason {
    answer.no_answer.as_ref().map_or(pb::NoAnswerReason::Unspecified, pb::NoAnswer::reason)
}

fn handover(answer: &pb::SuggestAnswersResponse) -> &pb::Handover {
    answer.no_answer.as_ref().unwrap().handover.as_ref().unwrap()
}

const JAM: &str = "A paper jam stops the printer.\n\n## Solution\n\nDo this:\n\n1. Switch the printer off.\n2. Open the \
                   rear door.\n3. Pull the sheet out with both hands.\n4. Close the door and switch the printer on.\n\n\
                   ## History\n\nWritten in spring.";

/// A desk with known errors, how-tos and two mail programs.
fn desk() -> Vec<pb::Article> {
    let of = |product: &str, article: pb::Article| pb::Article { products: vec![product.to_owned()], ..article };
    let vpn = pb::KnownError {
        symptoms: "The VPN client shows error 809 at home.".to_owned(),
        cause: "The router blocks UDP 500.".to_owned(),
        workaround: "Choose the profile Company SSTP in the VPN client until the router lets UDP through.".to_owned(),
        fix: "Install the new firmware on the router and restart the VPN client after that.".to_owned(),
        affected: vec!["VPN client".to_owned()],
    };
    vec![
        pb::Article {
            link: "https://kb.example/jam".to_owned(),
            ..article("KB-JAM", "Clear a paper jam in the printer", JAM)
        },
        pb::Article {
            kind: pb::ArticleKind::KnownError.into(),
            known_error: Some(vpn),
            body: String::new(),
            ..article("KE-809", "VPN fails with error 809 at home", "")
        },
        of(
            "Postbox",
            article(
                "KB-SIG-P",
                "Set your mail signature in Postbox",
                "Open Tools and choose Signature. Type the signature for your mail there and save it.",
            ),
        ),
        of(
            "Webmail",
            article(
                "KB-SIG-W",
                "Set your mail signature in Webmail",
                "Open Settings and choose Signature. Type the signature for your mail there and save it.",
            ),
        ),
        article(
            "KB-ROOM",
            "Book a meeting room",
            "Open the calendar, choose Rooms and pick a free meeting room for your meeting. Send the invitation to the room.",
        ),
        article(
            "KB-PWD",
            "Reset your password",
            "Open the password portal and choose Forgotten. Type the code from your phone and set a new password.",
        ),
        article(
            "KB-DISK",
            "The disk of a laptop is full",
            "Empty the recycle bin of the laptop, then move large files from the disk to the file share.",
        ),
        article(
            "KB-WIFI",
            "Wireless network drops in the building",
            "Forget the wireless network in the settings of the laptop and join it again.",
        ),
    ]
}

async fn server_with_desk() -> TestServer {
    let server = TestServer::start().await;
    upsert(&mut server.knowledge().await, desk()).await;
    server
}

#[tokio::test]
async fn an_answer_is_a_passage_with_its_steps_and_its_source() {
    let server = server_with_desk().await;
    let mut chat = Chat::with(&server).await;
    let answer = chat.say("Hello, the printer has a paper jam, what can I do?").await;
    assert_eq!(shown(&answer), ["KB-JAM"], "{answer:?}");
    let found = &answer.answers[0];
    assert_eq!((found.article_version, found.link.as_str()), (1, "https://kb.example/jam"));
    assert_eq!(found.title, "Clear a paper jam in the printer");
    let passage = found.passage.as_ref().unwrap();
    assert_eq!((passage.steps.len(), passage.introduction.as_str()), (4, "Do this:"), "{passage:?}");
    assert!(passage.steps[2] == "Pull the sheet out with both hands." && !passage.truncated);
    assert_eq!(passage.heading, "Solution");
    assert!(passage.text.contains("Open the rear door.") && !passage.text.contains("spring"), "{passage:?}");
    for highlight in &passage.highlights {
        let word = &passage.text[highlight.start_byte as usize..highlight.end_byte as usize];
        assert!(word.to_lowercase().contains("printer"), "{word}");
    }
    assert!(found.confidence > 0.0 && found.confidence <= 1.0);
    assert!(answer.confidence >= found.confidence && answer.confidence <= 1.0);
    // The text that it came from is there whatever becomes of the article.
    let mut client = server.knowledge().await;
    upsert(&mut client, vec![article("KB-JAM", "Other", "Other")]).await;
    let request = pb::GetArticleRequest { id: "KB-JAM".to_owned(), version: Some(found.article_version) };
    let text = client.get_article(request).await.unwrap().into_inner().article.unwrap();
    assert!(text.body.contains(&passage.steps[2]));
    server.stop().await;
}

#[tokio::test]
async fn no_passage_is_shown_twice_and_what_was_tried_is_handed_over() {
    let server = server_with_desk().await;
    let mut chat = Chat::with(&server).await;
    let first = chat.say("My VPN client shows error 809 at home. It began on Monday.").await;
    assert_eq!(shown(&first), ["KE-809"]);
    let passage = first.answers[0].passage.as_ref().unwrap();
    assert_eq!(passage.section(), pb::KnownErrorSection::Workaround, "{passage:?}");
    // The fix comes after the workaround, and then there is nothing left.
    let second = chat.say("That did not help").await;
    let other = second.answers[0].passage.as_ref().unwrap();
    assert_eq!((shown(&second), other.section()), (vec!["KE-809"], pb::KnownErrorSection::Fix));
    let mut texts = vec![passage.text.clone(), other.text.clone()];
    let mut last = chat.say("no, still not working").await;
    while last.no_answer.is_none() {
        texts.extend(last.answers.iter().map(|answer| answer.passage.as_ref().unwrap().text.clone()));
        assert!(texts.len() < 10, "{texts:?}");
        last = chat.say("no").await;
    }
    let mut different = texts.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), texts.len(), "{texts:?}");
    assert_eq!(why(&last), pb::NoAnswerReason::AllShown, "{last:?}");
    let handover = handover(&last);
    assert_eq!(handover.sentences, ["My VPN client shows error 809 at home.", "It began on Monday."]);
    assert_eq!(handover.tried[0].article_id, "KE-809");
    assert!(handover.summary.contains("It began on Monday.") && handover.summary.contains("VPN fails with error 809"));
    // The same question again is no way round.
    let again = chat.say("My VPN client shows error 809 at home.").await;
    assert_eq!(why(&again), pb::NoAnswerReason::AllShown);
    server.stop().await;
}

#[tokio::test]
async fn the_user_is_asked_for_the_product_at_most_twice() {
    let server = server_with_desk().await;
    let mut chat = Chat::with(&server).await;
    let answer = chat.say("How do I set my mail signature?").await;
    assert_eq!(why(&answer), pb::NoAnswerReason::SeveralProducts, "{answer:?}");
    let question = answer.no_answer.unwrap().question.unwrap();
    let mut choices = question.choices.clone();
    choices.sort_unstable();
    assert!(choices == ["Postbox", "Webmail"] && question.text.ends_with('?'));
    let chosen = chat.say("it's webmail").await;
    assert_eq!(shown(&chosen), ["KB-SIG-W"], "{chosen:?}");

    // Who names the product is not asked.
    let mut direct = Chat::with(&server).await;
    assert_eq!(shown(&direct.say("How do I set my mail signature in Postbox?").await), ["KB-SIG-P"]);
    let mut chat = Chat::with(&server).await;
    let known =
        pb::SuggestAnswersRequest { products: vec!["Webmail".into()], ..asked("How do I set my mail signature?") };
    assert_eq!(shown(&chat.ask(known).await.unwrap()), ["KB-SIG-W"]);

    // Who does not answer is asked once more and then shown what there is.
    let mut stubborn = Chat::with(&server).await;
    let mut questions = 0;
    for _ in 0..6 {
        let answer = stubborn.say("How do I set my mail signature?").await;
        questions += u32::from(why(&answer) == pb::NoAnswerReason::SeveralProducts);
    }
    assert_eq!(questions, 2);
    server.stop().await;
}

#[tokio::test]
async fn articles_that_end_alike_and_share_a_product_are_told_apart() {
    let server = TestServer::start().await;
    let vpn = |id: &str, system: &str, steps: &str| pb::Article {
        products: vec!["Falcon VPN".to_owned(), system.to_owned()],
        ..article(id, &format!("Reset the Falcon VPN on {system}"), &format!("{steps} Start it again and sign in."))
    };
    let articles = vec![
        vpn("KB-WIN", "Windows", "Open Services, choose Falcon VPN and restart the service."),
        vpn("KB-MAC", "macOS", "Open Activity Monitor, choose Falcon VPN and quit the process."),
        article("KB-ROOM", "Book a meeting room", "Open the calendar and pick a free meeting room."),
    ];
    upsert(&mut server.knowledge().await, articles).await;
    let mut chat = Chat::with(&server).await;
    let answer = chat.say("How do I reset the Falcon VPN?").await;
    let mut choices = answer.no_answer.clone().unwrap_or_default().question.unwrap_or_default().choices;
    choices.sort_unstable();
    assert_eq!(choices, ["Windows", "macOS"], "{answer:?}");
    assert_eq!(shown(&chat.say("macOS").await), ["KB-MAC"]);
    // What both end with was shown by now.
    assert_eq!(shown(&chat.say("How do I reset the Falcon VPN on Windows?").await), ["KB-WIN"]);
    server.stop().await;
}

#[tokio::test]
async fn a_nod_is_no_refusal_and_what_is_exhausted_stays_so() {
    let server = server_with_desk().await;
    let mut chat = Chat::with(&server).await;
    assert_eq!(shown(&chat.say("My VPN client shows error 809 at home").await), ["KE-809"]);
    for nod in ["ok", "👍", "yes"] {
        let answer = chat.say(nod).await;
        assert_eq!(answer.no_answer.unwrap().small_talk(), pb::SmallTalk::Acknowledgement, "{nod}");
    }
    let mut last = chat.say("that did not help").await;
    while last.no_answer.is_none() {
        last = chat.say("no").await;
    }
    for _ in 0..4 {
        assert_eq!(why(&last), pb::NoAnswerReason::AllShown);
        last = chat.say("still not working").await;
    }
    assert_eq!(shown(&chat.say("How do I reset my password?").await), ["KB-PWD"]);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_question_for_the_desk_gets_its_reason() {
    let server = server_with_desk().await;
    let check = async |text: &str, expected: pb::NoAnswerReason| {
        let answer = Chat::with(&server).await.say(text).await;
        assert_eq!(why(&answer), expected, "{text}: {answer:?}");
        answer
    };
    let small_talk = |answer: &pb::SuggestAnswersResponse| answer.no_answer.as_ref().unwrap().small_talk();
    let greeting = check("Good morning!", pb::NoAnswerReason::SmallTalk).await;
    assert_eq!(small_talk(&greeting), pb::SmallTalk::Greeting);
    let thanks = check("thank you, that worked", pb::NoAnswerReason::SmallTalk).await;
    assert!(small_talk(&thanks) == pb::SmallTalk::Thanks && thanks.no_answer.unwrap().handover.is_none());
    let person = check("I want to talk to a human about my paper jam", pb::NoAnswerReason::PersonRequested).await;
    assert_eq!(handover(&person).tried, []);
    check("how long do I bake a potato in the oven?", pb::NoAnswerReason::OutOfScope).await;
    check("it", pb::NoAnswerReason::TooShort).await;
    server.stop().await;
}

#[tokio::test]
async fn a_user_who_says_nothing_is_asked_twice_and_then_handed_over() {
    let server = server_with_desk().await;
    let mut chat = Chat::with(&server).await;
    for _ in 0..2 {
        assert_eq!(why(&chat.say("help").await), pb::NoAnswerReason::TooShort);
    }
    let last = chat.say("help me").await;
    assert_eq!(why(&last), pb::NoAnswerReason::NothingFound);
    assert_eq!(handover(&last).sentences, Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn bad_turns_and_conversations_are_refused_and_the_largest_are_read() {
    let server = server_with_desk().await;
    let mut chat = Chat::with(&server).await;
    let check = async |request: pb::SuggestAnswersRequest, fields: &[&str]| {
        let status = Chat::with(&server).await.ask(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(violated_fields(&status), fields);
    };
    let turns = |count| vec![turn("printer"); count];
    check(asked(" \n"), &["text"]).await;
    check(asked(&"x".repeat((64 << 10) + 1)), &["text"]).await;
    check(pb::SuggestAnswersRequest { earlier_turns: turns(200), ..asked("jam") }, &["earlier_turns"]).await;
    check(pb::SuggestAnswersRequest { earlier_turns: vec![turn("")], ..asked("jam") }, &["earlier_turns[0].text"])
        .await;
    let nobody = pb::Turn { speaker: 9, text: "hi".into() };
    check(pb::SuggestAnswersRequest { earlier_turns: vec![nobody], ..asked("jam") }, &["earlier_turns[0].speaker"])
        .await;
    check(pb::SuggestAnswersRequest { top_n: Some(6), ..asked("jam") }, &["top_n"]).await;
    check(pb::SuggestAnswersRequest { products: vec!["p".repeat(257)], ..asked("jam") }, &["products[0]"]).await;
    for conversation in ["x", "unknown-conversation", &"A".repeat(5_000)] {
        check(pb::SuggestAnswersRequest { conversation: conversation.to_owned(), ..asked("jam") }, &["conversation"])
            .await;
    }
    // A handle is no conversation.
    let mut triage = server.triage().await;
    let decision = triage.triage_ticket(crate::harness::request(ticket("paper jam", ""))).await.unwrap().into_inner();
    let handle = decision.decision.unwrap().decision_handle;
    check(pb::SuggestAnswersRequest { conversation: handle, ..asked("jam") }, &["conversation"]).await;

    let most = pb::SuggestAnswersRequest { earlier_turns: turns(199), ..asked("The printer has a paper jam") };
    chat.ask(most).await.unwrap();
    let longest = "The printer has a paper jam. Ärger! ".repeat(1_750);
    assert!(longest.len() > 60 << 10);
    assert_eq!(shown(&chat.ask(asked(&longest)).await.unwrap()), ["KB-JAM"]);
    let markup = "<p>The <b>printer</b> has a <script>alert(1)</script>paper&nbsp;jam</p> **what** [now](x)?";
    assert_eq!(shown(&chat.ask(asked(markup)).await.unwrap()), ["KB-JAM"]);
    server.stop().await;
}

#[tokio::test]
async fn an_article_that_goes_between_two_turns_is_gone() {
    let server = server_with_desk().await;
    let mut chat = Chat::with(&server).await;
    assert_eq!(shown(&chat.say("My VPN client shows error 809 at home").await), ["KE-809"]);
    let delete = pb::DeleteArticleRequest { id: "KE-809".into(), erase_versions: false };
    server.knowledge().await.delete_article(delete).await.unwrap();
    let mut last = chat.say("that didn't help").await;
    for _ in 0..8 {
        assert!(!shown(&last).contains(&"KE-809"));
        if last.no_answer.is_some() {
            break;
        }
        last = chat.say("no").await;
    }
    let tried = &handover(&last).tried[0];
    assert_eq!((tried.article_id.as_str(), tried.title.as_str()), ("KE-809", ""));
    assert!(handover(&last).summary.contains("deleted since"));
    // A draft and a retired article are not shown either.
    let retired = pb::Article {
        status: pb::ArticleStatus::Retired.into(),
        ..article("KB-JAM", "Clear a paper jam in the printer", JAM)
    };
    upsert(&mut server.knowledge().await, vec![retired]).await;
    let answer = Chat::with(&server).await.say("The printer has a paper jam").await;
    assert!(!shown(&answer).contains(&"KB-JAM"));
    server.stop().await;
}

#[tokio::test]
async fn a_conversation_ends_by_itself_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut server = ServerProcess::start(&data_dir, &[]).await;
    server.wait_until_serving().await;
    let mut client = server.knowledge().await;
    client.upsert_articles(tokio_stream::iter([frame(desk())])).await.unwrap();
    let first = client.suggest_answers(asked("The printer has a paper jam")).await.unwrap().into_inner();
    assert_eq!(shown(&first), ["KB-JAM"]);
    server.child.kill().unwrap();
    server.child.wait().unwrap();

    let server = ServerProcess::start(&data_dir, &[]).await;
    server.wait_until_serving().await;
    let again = pb::SuggestAnswersRequest {
        earlier_turns: vec![turn("The printer has a paper jam")],
        conversation: first.conversation,
        ..asked("no")
    };
    let answer = server.knowledge().await.suggest_answers(again).await.unwrap().into_inner();
    assert!(!shown(&answer).contains(&"KB-JAM"), "{answer:?}");
}

#[tokio::test]
async fn feedback_on_an_answer_teaches_the_next_one() {
    let server = server_with_desk().await;
    let answer = Chat::with(&server).await.say("The printer has a paper jam").await;
    let request = pb::RecordArticleFeedbackRequest {
        suggestion_handle: answer.suggestion_handle,
        article_id: "KB-JAM".into(),
        event: pb::ArticleEvent::Helped.into(),
    };
    assert!(server.feedback().await.record_article_feedback(request).await.unwrap().into_inner().recorded);
    let mut client = server.knowledge().await;
    let article = client.get_article(pb::GetArticleRequest { id: "KB-JAM".into(), version: None }).await.unwrap();
    assert_eq!(article.into_inner().usage.unwrap().helped, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_answers_here_and_through_a_server() {
    let server = server_with_desk().await;
    let address = server.address.to_string();
    let asked = ["kb", "answer", "the", "printer", "has", "a", "paper", "jam", "--server", &address];
    run(asked).check(0, &[]);
    let outcome = run(asked);
    for part in
        ["Clear a paper jam in the printer (KB-JAM, version 1)", "Do this:", "  3. Pull the sheet", "confidence"]
    {
        assert!(outcome.stdout.contains(part), "{}", outcome.stdout);
    }
    let outcome = run(["kb", "answer", "I want to talk to a human", "--json", "--server", &address]);
    let document: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["no_answer"]["reason"], "PERSON_REQUESTED");
    run(["kb", "answer", " ", "--server", &address]).check(2, &["nothing was said"]);
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("none").display().to_string();
    run(["kb", "answer", "printer", "--data-dir", &nowhere]).check(1, &["no knowledge base in"]);
    server.stop().await;
}
