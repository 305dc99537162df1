//! Whatever a server sends, what is shown does nothing to a terminal: each field of each message is filled
//! with texts that try.

use std::{fmt::Write as _, sync::LazyLock};

use proptest::{collection::vec, prelude::*};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value,
};
use wfe_proto::v1;
use wfe_runtime::text::shown;

use crate::{
    context::Colour,
    json,
    render::{clearance, event, execution, list, progress, target},
    testing::messages::now,
};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(wfe_proto::FILE_DESCRIPTOR_SET).unwrap());

/// Longer than any line that is made from several of the longest texts.
const MAX_LINE_CHARS: usize = 64 * 1024;

/// Chooses what is sent, from what a test drew.
struct Dice<'a>(std::slice::Iter<'a, u32>);

impl Dice<'_> {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0.next().map_or(0, |drawn| drawn % sides)
    }

    fn number(&mut self) -> i64 {
        [0, 1, 2, 7, -1, i64::from(i32::MAX), i64::MAX, i64::MIN][self.roll(8) as usize]
    }

    fn text(&mut self) -> String {
        match self.roll(9) {
            0 => String::new(),
            1 => "plain".to_owned(),
            2 => "\u{1b}[2J\u{1b}]0;title\u{7}\r\n\t\0".to_owned(),
            3 => "\u{9b}31m\u{9d}\u{85}\u{7f}".to_owned(),
            4 => "a\u{202e}b\u{2067}c\u{200b}d\u{feff}e\u{e0041}".to_owned(),
            5 => "line\n".repeat(5_000),
            6 => "漢字🦀é".repeat(30_000),
            7 => "x".repeat(100_000),
            _ => "{\"a\": \"\\u001b\", '%s' {} $(id)}".to_owned(),
        }
    }

    fn value(&mut self, field: &FieldDescriptor, depth: u32) -> Value {
        let number = self.number();
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        let small = number as i32;
        match field.kind() {
            Kind::String => Value::String(self.text()),
            Kind::Bool => Value::Bool(number == 0),
            Kind::Int64 => Value::I64(number),
            Kind::Int32 => Value::I32(small),
            Kind::Enum(values) => {
                let known = values.values().map(|value| value.number()).collect::<Vec<_>>();
                Value::EnumNumber(*known.get(self.roll(20) as usize).unwrap_or(&small))
            }
            Kind::Message(message) => Value::Message(self.message(message.full_name(), depth)),
            Kind::Double
            | Kind::Float
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32
            | Kind::Fixed64
            | Kind::Sfixed32
            | Kind::Sfixed64
            | Kind::Bytes => panic!("{field:?} is of a kind that the contract does not have"),
        }
    }

    fn message(&mut self, name: &str, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(POOL.get_message_by_name(name).unwrap());
        for field in message.descriptor().fields() {
            if self.roll(3) == 0 || depth == 0 {
                continue;
            }
            let value = if field.is_map() {
                Value::Map([(MapKey::String(self.text()), Value::String(self.text()))].into())
            } else if field.is_list() {
                let many = self.roll(3);
                Value::List((0..many).map(|_| self.value(&field, depth - 1)).collect())
            } else {
                self.value(&field, depth - 1)
            };
            message.set_field(&field, value);
        }
        message
    }

    fn send<M: Message + Default>(&mut self, name: &str) -> M {
        let message = self.message(&format!("kubernaut.execution.v1.{name}"), 4);
        M::decode(message.encode_to_vec().as_slice()).unwrap()
    }
}

fn assert_harmless(what: &str, text: &str) {
    for line in text.split('\n') {
        let obeyed = line.chars().find(|c| shown(*c) != *c);
        assert_eq!(obeyed, None, "{what}: {:?}", line.chars().take(300).collect::<String>());
        assert!(line.chars().count() < MAX_LINE_CHARS, "{what}: a line of {}", line.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_a_server_sends_reaches_the_terminal_as_a_command(
        drawn in vec(any::<u32>(), 0..300),
        state in 0..8_i32,
    ) {
        let mut dice = Dice(drawn.iter());
        let mut seen: v1::Execution = dice.send("Execution");
        seen.state = state;
        let off = Colour::Off;
        assert_harmless("get", &execution::describe(&seen, now(), "", off));
        assert_harmless("headline", &execution::headline(&seen, now(), off));
        assert_harmless("snapshot", &event::snapshot_line(&seen, now(), off));
        assert_harmless("list", &list::table(&[seen.clone(), seen.clone()], now(), off));
        if let Some(seen) = &seen.progress {
            assert_harmless("progress", &progress::lines(seen, now(), off).join("\n"));
        }
        assert_harmless("event", &event::line(&dice.send("ExecutionEvent"), off));
        assert_harmless("decision", &event::decision_line(&dice.send("Decision")));
        assert_harmless("target", &target::sentences(&dice.send("Target"), now(), ""));
        assert_harmless("cleared", &clearance::cleared(&dice.send("ClearBlockResponse"), now()));
        assert_harmless("withdrawn", &execution::withdrawn(&dice.text()));
    }

    #[test]
    fn an_answer_as_json_is_harmless_and_says_what_was_sent(drawn in vec(any::<u32>(), 0..100)) {
        let answer = v1::GetResponse { execution: Some(Dice(drawn.iter()).send("Execution")) };
        // Numbers of unknown enums and impossible times have no form in JSON.
        let Ok(document) = json::to_value(&answer) else { return Ok(()) };
        for text in [json::line(&document), json::lines(&document)] {
            prop_assert!(text.chars().all(|c| c == '\n' || shown(c) == c));
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&text).unwrap(), &document);
        }
    }
}

#[test]
fn what_cannot_be_seen_is_the_same_for_whoever_writes_a_record_and_whoever_shows_it() {
    let mut differ = String::new();
    for c in char::MIN..=char::MAX {
        if shown(c) != wfe_core::text::shown(c) {
            write!(differ, "{c:?} ").unwrap();
        }
    }
    assert_eq!(differ, "");
}
