"""A small chat in the terminal: what a bot does with SuggestAnswers, from the first turn to an answer, a question asked
back, or a hand-over to a person.

With --say it takes its turns from the command line instead of the keyboard, and with --expect it says what must come of
the last one: so the tests of ticket-triage run it.
"""

import argparse
import sys

import grpc

import connection
from stubs import feedback, feedback_grpc, knowledge, knowledge_grpc

SECONDS_A_CALL = 10
OUTCOMES = ("answer", "question", "small-talk", "hand-over")
# Why there is no answer, in words for the user.
APOLOGIES = {
    knowledge.NO_ANSWER_REASON_NOTHING_FOUND: "I found nothing that fits.",
    knowledge.NO_ANSWER_REASON_OUT_OF_SCOPE: "That is not something I know about.",
    knowledge.NO_ANSWER_REASON_PERSON_REQUESTED: "Of course.",
    knowledge.NO_ANSWER_REASON_ALL_SHOWN: "I have nothing else to offer.",
}
REPLIES = {
    knowledge.SMALL_TALK_GREETING: "Hello! What can I help you with?",
    knowledge.SMALL_TALK_THANKS: "You are welcome.",
    knowledge.SMALL_TALK_GOODBYE: "Goodbye!",
    knowledge.SMALL_TALK_ABOUT_THE_BOT: "I am a program that looks things up for the service desk.",
}


class Chat:
    """One conversation. All that it remembers are the turns and what the last answer gave."""

    def __init__(self, channel: grpc.Channel):
        self.knowledge = knowledge_grpc.KnowledgeServiceStub(channel)
        self.feedback = feedback_grpc.FeedbackServiceStub(channel)
        self.turns = []
        self.conversation = ""
        self.last = None

    def say(self, text: str) -> str:
        """Answers the user; gives one of OUTCOMES."""
        request = knowledge.SuggestAnswersRequest(
            text=text, earlier_turns=self.turns, conversation=self.conversation)
        try:
            answer = self.knowledge.SuggestAnswers(request, timeout=SECONDS_A_CALL)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                raise
            # The conversation rested for too long: its turns begin a new one.
            request.conversation = ""
            answer = self.knowledge.SuggestAnswers(request, timeout=SECONDS_A_CALL)
        self.turns.append(knowledge.Turn(speaker=knowledge.SPEAKER_USER, text=text))
        self.conversation = answer.conversation
        outcome = self.reply(answer)
        if answer.answers:
            self.last = answer
        return outcome

    def reply(self, answer: knowledge.SuggestAnswersResponse) -> str:
        if answer.answers:
            for found in answer.answers:
                show(found)
            return "answer"
        why = answer.no_answer
        if why.reason == knowledge.NO_ANSWER_REASON_SEVERAL_PRODUCTS:
            self.bot(f"{why.question.text} {' / '.join(why.question.choices)}")
            return "question"
        if why.reason == knowledge.NO_ANSWER_REASON_TOO_SHORT:
            self.bot("Please tell me a little more: what does not work, or what do you need?")
            return "question"
        if why.reason == knowledge.NO_ANSWER_REASON_SMALL_TALK:
            if why.small_talk == knowledge.SMALL_TALK_THANKS and self.last is not None:
                self.helped()
            self.bot(REPLIES.get(why.small_talk, "Hello!"))
            return "small-talk"
        self.bot(f"{APOLOGIES.get(why.reason, 'I do not know.')} I hand you over to a colleague, who gets this:")
        for line in why.handover.summary.splitlines():
            print(f"     | {line}")
        return "hand-over"

    def helped(self) -> None:
        """What was shown last solved the matter: the next question like it finds it sooner."""
        for found in self.last.answers:
            self.feedback.RecordArticleFeedback(feedback.RecordArticleFeedbackRequest(
                suggestion_handle=self.last.suggestion_handle, article_id=found.article_id,
                event=feedback.ARTICLE_EVENT_HELPED), timeout=SECONDS_A_CALL)
        self.last = None

    def bot(self, text: str) -> None:
        print(f"bot: {text}")
        self.turns.append(knowledge.Turn(speaker=knowledge.SPEAKER_BOT, text=text))


def show(found: knowledge.Answer) -> None:
    """Passages are plain text: show them as text, never as HTML."""
    passage = found.passage
    print(f"bot: {passage.introduction or found.title if passage.steps else passage.text}")
    for number, step in enumerate(passage.steps, 1):
        print(f"     {number}. {step}")
    more = " (goes on there)" if passage.truncated else ""
    print(f"     -- {found.title}, {found.article_id} version {found.article_version}{more} {found.link}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description="Chat with a running server.")
    connection.add_arguments(parser)
    parser.add_argument("--say", nargs="+", metavar="TURN", help="turns to say instead of reading the keyboard")
    parser.add_argument("--expect", choices=OUTCOMES, help="what must come of the last turn of --say")
    arguments = parser.parse_args()
    with connection.connect(arguments) as channel:
        grpc.channel_ready_future(channel).result(timeout=SECONDS_A_CALL)
        chat = Chat(channel)
        if arguments.say is None:
            print("Say what you need; an empty line ends the chat.")
        outcome = None
        for text in arguments.say or iter(lambda: input("you: "), ""):
            if arguments.say is not None:
                print(f"you: {text}")
            if text.strip():
                outcome = chat.say(text)
    if arguments.expect is not None and outcome != arguments.expect:
        sys.exit(f"error: the conversation ended in {outcome} and not in {arguments.expect}")


if __name__ == "__main__":
    try:
        main()
    except (EOFError, KeyboardInterrupt):
        print()
    except grpc.FutureTimeoutError:
        sys.exit("error: the server does not answer: start it with `triage serve --demo`, or name it with --server")
    except grpc.RpcError as error:
        sys.exit(f"error: {error.code().name}: {error.details()}")
