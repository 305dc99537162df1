use proptest::prelude::*;

use super::*;

const SECRET: &str = "corr\"ect<horse>\nbattery&staple";

fn told(values: &[&str], text: &str) -> String {
    Veil::over(values.iter().copied()).hide(text).into_owned()
}

#[test]
fn a_text_without_a_value_stays_as_it_is() {
    let veil = Veil::over([SECRET, ""]);
    assert!(matches!(veil.hide("Tasks Completed: 1"), Cow::Borrowed("Tasks Completed: 1")));
    assert!(matches!(Veil::none().hide(SECRET), Cow::Borrowed(SECRET)));
    assert!(matches!(Veil::over([""]).hide("x"), Cow::Borrowed("x")));
}

#[test]
fn a_value_is_hidden_in_every_form_in_which_systems_write_it() {
    let json = serde_json::to_string(SECRET).unwrap();
    let go = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let code = base64::engine::general_purpose::STANDARD.encode(SECRET);
    let inside = base64::engine::general_purpose::URL_SAFE.encode(format!("user:{SECRET}@host"));
    let flat = SECRET.replace('\n', " ");
    for form in
        [SECRET, json.trim_matches('"'), go.trim_matches('"'), &code, &flat, &hex::encode(SECRET)]
    {
        let text = format!("denied the request: value {form} is not allowed");
        let told = told(&[SECRET], &text);
        let rest = told.strip_prefix("denied the request: value [sensitive]").unwrap();
        // The padding of base64 says nothing.
        assert_eq!(rest.trim_start_matches('='), " is not allowed", "{told}");
    }
    let told = told(&[SECRET], &inside);
    assert!(told.contains(HIDDEN) && told.len() < 40, "{told}");
}

#[test]
fn a_value_that_was_cut_is_hidden_as_far_as_it_goes() {
    let long = "0123456789abcdefghijklmnopqrstuvwxyz";
    assert_eq!(told(&[long], "got 0123456789abcdefgh..."), "got [sensitive]...");
    assert_eq!(told(&[long], "...opqrstuvwxyz is wrong"), "...[sensitive] is wrong");
}

#[test]
fn two_values_side_by_side_are_hidden_at_once() {
    assert_eq!(told(&["hunter2", "swordfish"], "a hunter2swordfish b"), "a [sensitive] b");
    assert_eq!(told(&["hunter2", "swordfish"], "a hunter2 swordfish"), "a [sensitive] [sensitive]");
}

#[test]
fn a_short_value_hides_the_whole_text() {
    assert_eq!(told(&["42"], "exit code 142"), ALL_HIDDEN);
    assert_eq!(told(&["42"], "exit code 1"), "exit code 1");
}

#[test]
fn when_nothing_is_known_everything_is_hidden() {
    assert_eq!(Veil::everything().hide("anything"), ALL_HIDDEN);
    assert_eq!(Veil::everything().hide(""), "");
}

#[test]
fn a_veil_does_not_show_what_it_hides() {
    assert_eq!(format!("{:?}", Veil::over([SECRET])), "Veil");
}

proptest! {
    #[test]
    fn no_text_repeats_a_value(
        value in "\\PC{1,60}",
        before in "\\PC{0,30}",
        after in "\\PC{0,30}",
    ) {
        let text = format!("{before}{value}{after}");
        let told = told(&[&value], &text);
        prop_assert!(!told.contains(&value) || HIDDEN.contains(&value) || ALL_HIDDEN.contains(&value));
    }
}
