//! What a sender does when chunks, answers or the connection are lost, or nobody takes anything for a while.

use super::*;

const PATIENCE: Patience =
    Patience { quiet_millis: 100, kept_millis: 1_000, without_lead_millis: 300 };

fn at(millis: u64) -> MonoMillis {
    MonoMillis(millis)
}

/// A transfer of a view with so many chunks, and what is wrong on its way.
struct Story {
    sending: Sending,
    chunks: u64,
    now: u64,
}

impl Story {
    fn new(chunks: u64) -> Self {
        Self { sending: Sending::new(key(0), PATIENCE, at(0)), chunks, now: 0 }
    }

    fn step(&mut self) -> SendStep {
        let step = self.sending.step(at(self.now));
        if let SendStep::Chunk { sequence, from } = &step {
            assert_eq!(*from, key(*sequence), "each chunk begins where it did the first time");
            let next = (sequence + 1 < self.chunks).then(|| key(sequence + 1));
            self.sending.sent(*sequence, next, at(self.now));
        }
        step
    }

    /// The chunks that go out now.
    fn sent(&mut self) -> Vec<u64> {
        let mut sent = Vec::new();
        while let SendStep::Chunk { sequence, .. } = self.step() {
            sent.push(sequence);
        }
        sent
    }

    fn wanted(&mut self, next: u64, taken: u64) -> Vec<u64> {
        self.sending.wanted(next, taken, at(self.now));
        self.sent()
    }

    fn received(&mut self, taken: u64) -> Vec<u64> {
        self.sending.received(taken, false, at(self.now));
        self.sent()
    }

    fn begun(chunks: u64) -> Self {
        let mut story = Self::new(chunks);
        assert_eq!(story.step(), SendStep::Offer);
        assert_eq!(story.step(), SendStep::Wait(at(100)), "one offer at a time");
        assert_eq!(story.wanted(0, 0), [0, 1, 2], "as many as the window");
        story
    }
}

fn key(chunk: u64) -> Vec<u8> {
    format!("key {chunk}").into_bytes()
}

#[test]
fn a_transfer_goes_a_window_at_a_time() {
    let mut story = Story::begun(5);
    assert_eq!(story.received(1), [3]);
    assert_eq!(story.received(3), [4]);
    assert_eq!(story.received(5), [0; 0], "there are no more");
    assert!(matches!(story.step(), SendStep::Wait(_)), "until it is installed");
    story.sending.received(5, true, at(9));
    assert_eq!(story.step(), SendStep::End(SendEnd::Installed));
    assert_eq!(story.sending.resumed(), 0);
}

#[test]
fn a_lost_chunk_is_sent_again() {
    let mut story = Story::begun(9);
    assert_eq!(story.wanted(1, 1), [1, 2, 3]);
    assert_eq!(story.sending.resumed(), 1);
}

#[test]
fn the_last_chunk_is_lost_and_the_receiver_is_asked() {
    let mut story = Story::begun(3);
    assert_eq!(story.received(2), [0; 0]);
    story.now = 100;
    assert_eq!(story.step(), SendStep::Offer);
    assert_eq!(story.wanted(2, 2), [2]);
}

#[test]
fn a_link_that_breaks_and_comes_back_goes_on_in_the_middle() {
    let mut story = Story::begun(9);
    story.received(2);
    story.sending.link(false);
    story.now = 500;
    assert_eq!(story.step(), SendStep::Wait(at(1_000)), "the view is kept");
    story.sending.link(true);
    assert_eq!(story.step(), SendStep::Offer);
    // The acknowledgement of the third had been lost.
    assert_eq!(story.wanted(4, 3), [4, 5]);
    assert_eq!(story.sending.resumed(), 1);
    assert_eq!(story.received(6), [6, 7, 8]);
}

#[test]
fn a_receiver_that_has_forgotten_gets_the_same_view_again() {
    let mut story = Story::begun(9);
    story.received(3);
    story.sending.link(false);
    story.sending.link(true);
    assert_eq!(story.step(), SendStep::Offer);
    assert_eq!(story.wanted(0, 0), [0, 1, 2]);
    assert_eq!(story.sending.resumed(), 0);
    assert_eq!(story.received(1), [3]);
    for _ in 1..limits::SNAPSHOT_RESTARTS_MAX {
        assert_eq!(story.wanted(0, 0), [0, 1, 2]);
        story.received(1);
    }
    story.wanted(0, 0);
    assert_eq!(story.step(), SendStep::End(SendEnd::Restarts), "there is an end to it");
}

#[test]
fn answers_may_be_reordered_and_nonsense_does_no_harm() {
    let mut story = Story::begun(9);
    story.received(3);
    assert_eq!(story.received(1), [0; 0], "an earlier word");
    assert_eq!(story.received(99), [0; 0], "more than was sent");
    assert_eq!(story.wanted(99, 0), [0; 0]);
    assert_eq!(story.wanted(2, 1), [0; 0], "these it had taken already");
    assert_eq!(story.wanted(4, 5), [0; 0]);
    assert_eq!(story.received(4), [6], "it goes on as before");
    // A gap is told of after the chunk was sent again: sent twice, which does no harm.
    assert_eq!(story.wanted(5, 4), [5, 6]);
    assert_eq!(story.wanted(5, 4), [5, 6]);
}

#[test]
fn a_view_is_let_go_when_nothing_is_taken_for_long() {
    let mut story = Story::begun(9);
    story.now = 400;
    story.received(1);
    for now in [800, 1_399] {
        story.now = now;
        assert_eq!(story.step(), SendStep::Offer);
        story.wanted(4, 1);
    }
    story.now = 1_400;
    assert_eq!(story.step(), SendStep::End(SendEnd::Expired), "words alone are not enough");
    story.sending.received(4, false, at(1_401));
    assert_eq!(story.step(), SendStep::End(SendEnd::Expired), "it is over");
}

#[test]
fn a_broken_link_does_not_keep_the_view_for_ever() {
    let mut story = Story::begun(9);
    story.sending.link(false);
    story.now = 1_000;
    assert_eq!(story.step(), SendStep::End(SendEnd::Expired));
}

#[test]
fn another_term_of_the_same_leader_goes_on_with_the_view() {
    let mut story = Story::begun(9);
    story.received(2);
    story.sending.lead_lost(at(0));
    assert_eq!(story.step(), SendStep::Wait(at(300)), "nothing is sent without the lead");
    story.sending.renewed();
    assert_eq!(story.step(), SendStep::Offer);
    assert_eq!(story.wanted(5, 3), [5]);
    assert_eq!(story.sending.resumed(), 1);
    story.sending.lead_lost(at(10));
    story.now = 310;
    assert_eq!(story.step(), SendStep::End(SendEnd::LeadLost));
}

#[test]
fn newer_state_at_the_receiver_ends_it() {
    let mut story = Story::begun(9);
    story.sending.refused();
    assert_eq!(story.step(), SendStep::End(SendEnd::Refused));
}

#[test]
fn installed_is_believed_only_of_the_whole() {
    let mut story = Story::begun(9);
    story.sending.received(2, true, at(1));
    assert!(matches!(story.step(), SendStep::Chunk { .. }));
}
