//! The form in which the cases are written: a command with arguments, perhaps lines of input, a line
//! `----`, and the expected output up to an empty line. Output that holds empty lines itself stands
//! between doubled `----` lines. Lines that start with `#` are for the reader.

/// One argument: `key`, `key=value` or `key=(value, value)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
}

/// A command and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) verb: String,
    pub(crate) arguments: Vec<Argument>,
}

/// A command, its input, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    /// The line of its command, from 1.
    pub(crate) line: usize,
    pub(crate) command: Command,
    pub(crate) input: Vec<String>,
    pub(crate) expected: String,
}

const FENCE: &str = "----";

/// The directives of a script, in order.
pub(crate) fn parse(text: &str) -> Vec<Directive> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end())).peekable();
    let mut directives = Vec::new();
    while let Some((line, first)) = lines.next() {
        if first.trim().is_empty() || first.starts_with('#') {
            continue;
        }
        let mut first = first.to_owned();
        while first.ends_with('\\') {
            first.pop();
            first.push_str(lines.next().map_or("", |next| next.1).trim_start());
        }
        let Some(command) = command(&first) else { continue };
        let mut input = Vec::new();
        for (_, line) in lines.by_ref().take_while(|line| line.1 != FENCE) {
            input.push(line.to_owned());
        }
        let mut expected = Vec::new();
        if lines.next_if(|line| line.1 == FENCE).is_some() {
            while let Some((_, line)) = lines.next() {
                if line == FENCE && lines.next_if(|line| line.1 == FENCE).is_some() {
                    break;
                }
                expected.push(line);
            }
        } else {
            expected.extend(lines.by_ref().map(|line| line.1).take_while(|line| !line.is_empty()));
        }
        directives.push(Directive { line, command, input, expected: expected.join("\n") });
    }
    directives
}

/// Reads one line as a command; `None` if nothing is on it.
pub(crate) fn command(line: &str) -> Option<Command> {
    let mut rest = line.trim();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (word, after) = argument(rest);
        words.push(word);
        rest = after.trim_start();
    }
    let mut words = words.into_iter();
    Some(Command { verb: words.next()?.key, arguments: words.collect() })
}

/// The first argument of `text`, and what follows it.
fn argument(text: &str) -> (Argument, &str) {
    let end = text.find([' ', '\t', '=']).unwrap_or(text.len());
    let (key, rest) = (text[..end].to_owned(), &text[end..]);
    let Some(value) = rest.strip_prefix('=') else {
        return (Argument { key, values: Vec::new() }, rest);
    };
    if let Some(list) = value.strip_prefix('(') {
        let (list, rest) = list.split_once(')').unwrap_or((list, ""));
        let values = list.split([',', ' ']).map(str::trim).filter(|value| !value.is_empty());
        return (Argument { key, values: values.map(str::to_owned).collect() }, rest);
    }
    let end = value.find([' ', '\t']).unwrap_or(value.len());
    (Argument { key, values: vec![value[..end].to_owned()] }, &value[end..])
}

impl Command {
    /// All values of `key`.
    pub(crate) fn values(&self, key: &str) -> Vec<&str> {
        let named = self.arguments.iter().filter(|argument| argument.key == key);
        named.flat_map(|argument| &argument.values).map(String::as_str).collect()
    }

    /// The only value of `key`, if it is there and can be read.
    pub(crate) fn value<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.values(key).first().and_then(|value| value.parse().ok())
    }

    /// The arguments without a value that are numbers, in order.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let plain = self.arguments.iter().filter(|argument| argument.values.is_empty());
        plain.filter_map(|argument| argument.key.parse().ok()).collect()
    }
}

#[test]
fn a_script_is_read_as_it_is_meant() {
    let text = "# a comment\n\nvote cfg=(1, 2) x=3 4 \\\n  y\n----\nline\n\nnext\nin put\n----\n----\none\n\ntwo\n----\n----\n\nlast\n----\n";
    let read = parse(text);
    assert_eq!(read.len(), 3);
    assert_eq!((read[0].line, read[0].expected.as_str()), (3, "line"));
    assert_eq!(read[0].command.values("cfg"), ["1", "2"]);
    assert_eq!((read[0].command.value::<u32>("x"), read[0].command.numbers()), (Some(3), vec![4]));
    assert_eq!((read[1].input.len(), read[1].expected.as_str()), (1, "one\n\ntwo"));
    assert_eq!((read[2].command.verb.as_str(), read[2].expected.as_str()), ("last", ""));
}
