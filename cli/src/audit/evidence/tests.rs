use super::*;

#[test]
fn a_period_holds_its_beginning_and_not_its_end() {
    let at = |text: &str| text.parse().unwrap();
    let period = Period { from: at("2026-10-01T00:00:00Z"), to: at("2027-01-01T00:00:00Z") };
    for (time, expected) in [
        ("2026-09-30T23:59:59.999Z", When::Before),
        ("2026-10-01T00:00:00Z", When::Inside),
        ("2026-12-31T23:59:59.999Z", When::Inside),
        ("2027-01-01T00:00:00Z", When::After),
    ] {
        assert_eq!(period.place(at(time)), expected, "{time}");
    }
}
