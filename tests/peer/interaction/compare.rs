//! What counts in the output of a directive: the states shown (tier A); messages, hard states, entries
//! written and entries committed, as sets per node and step (tier B). Log lines do not count, nor does
//! the order in which one step shows its messages.

/// The lines that show a state.
pub(super) fn states(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).filter(|line| is_state(line) || is_entry(line)).collect()
}

fn is_state(line: &str) -> bool {
    let after_number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with("log is empty")
        || (after_number.len() < line.len() && after_number.starts_with(": State"))
}

/// `term/index Entry…`
fn is_entry(line: &str) -> bool {
    let mut words = line.split(' ');
    let (position, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    kind.starts_with("Entry")
        && position.split_once('/').is_some_and(|(a, b)| is_number(a) && is_number(b))
}

fn is_message(line: &str) -> bool {
    let mut words = line.strip_prefix("dropped: ").unwrap_or(line).split(' ');
    words.next().is_some_and(|word| word.contains("->"))
        && words.next().is_some_and(|word| word.starts_with("Msg"))
}

/// A step and what it shows, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    heading: String,
    items: Vec<String>,
}

/// The steps of an output that show anything that counts.
pub(super) fn steps(text: &str) -> Vec<Step> {
    let mut steps = vec![Step { heading: String::new(), items: Vec::new() }];
    let mut list = "";
    for line in joined(text) {
        if let Some(heading) = line.strip_prefix("> ") {
            steps.push(Step { heading: heading.to_owned(), items: Vec::new() });
            list = "";
        } else if let Some(head) = line.strip_suffix(':').filter(|head| !head.contains(' ')) {
            list = match head {
                "Entries" => "written",
                "CommittedEntries" => "committed",
                "Processing" => "processed",
                "Responses" => "answer",
                _ => "",
            };
        } else {
            let answers = is_message(&line) && matches!(list, "processed" | "answer");
            let item = if is_entry(&line) || answers {
                format!("{list} {line}")
            } else if is_message(&line)
                || line.starts_with("HardState ")
                || line.starts_with("Snapshot Index:")
            {
                line
            } else {
                continue;
            };
            steps.last_mut().expect("one at least").items.push(item);
        }
    }
    for step in &mut steps {
        step.items.sort();
    }
    steps.retain(|step| !step.items.is_empty());
    steps
}

/// The lines without their indentation; what one message shows on several lines is one.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut depth = 0usize;
    for line in text.lines().map(str::trim) {
        let goes_on = depth > 0 || line.starts_with("Snapshot: ");
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.push(' ');
                last.push_str(line);
            }
            None => lines.push(line.to_owned()),
        }
        depth = depth.saturating_sub(usize::from(line.starts_with(']')));
        depth += usize::from(line.ends_with('['));
    }
    lines
}

/// The first step in which two outputs differ, in words.
pub(super) fn difference(ours: &[Step], theirs: &[Step]) -> Option<String> {
    for at in 0..ours.len().max(theirs.len()) {
        let (our, their) = (ours.get(at), theirs.get(at));
        if our == their {
            continue;
        }
        let heading = |step: Option<&Step>| step.map_or("nothing", |step| &step.heading).to_owned();
        if heading(our) != heading(their) {
            return Some(format!("step {at}: {:?}, not {:?}", our, their));
        }
        let items = |step: Option<&Step>| step.map_or(Vec::new(), |step| step.items.clone());
        let (mut more, mut missing) = (items(our), items(their));
        missing.retain(|item| match more.iter().position(|other| other == item) {
            Some(at) => {
                more.remove(at);
                false
            }
            None => true,
        });
        return Some(format!(
            "step {at} ({}):\n      only here:  {more:?}\n      only there: {missing:?}",
            heading(our)
        ));
    }
    None
}

#[test]
fn steps_are_what_counts() {
    let text = "> 1 handling Ready\n  Ready MustSync=true:\n  HardState Term:1\n  Entries:\n  1/4 EntryNormal \"\"\n  Messages:\n  1->2 MsgApp Term:1 Log:1/3 Entries:[\n    1/4 EntryNormal \"\"\n    1/5 EntryNormal \"\"\n  ]\n  INFO some word\n> 2 handling Ready\n  Lead:0";
    let read = steps(text);
    assert_eq!(read.len(), 1);
    assert_eq!(
        read[0].items,
        [
            "1->2 MsgApp Term:1 Log:1/3 Entries:[ 1/4 EntryNormal \"\" 1/5 EntryNormal \"\" ]",
            "HardState Term:1",
            "written 1/4 EntryNormal \"\"",
        ]
    );
    assert_eq!(states("1: StateProbe match=0\nINFO x\n1/11 EntryNormal \"\"").len(), 2);
}
