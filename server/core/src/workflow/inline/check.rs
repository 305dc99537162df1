//! Whether steps can be run. Everything that is wrong is named at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::{
    Action, DEFAULT_PARALLEL, InlineStep, InlineWorkflow, MAX_DEFINITION_BYTES, MAX_PARALLEL,
    MAX_RETRIES, MAX_SCRIPT_BYTES, MAX_STEPS, MAX_TIMEOUT, StepDraft,
    graph::{Graph, one},
};
use crate::{
    ids::is_dns_label,
    invalid::{Invalid, Violation, Violations},
    request::TARGET_PARAMETER,
    workflow::reference::check_reference,
};

/// At most this many arguments of a command, and environment variables of a step.
const MAX_ENTRIES: usize = 256;
/// At most this many bytes in one of them.
const MAX_ENTRY_BYTES: usize = 32 * 1024;

/// The beginnings of names that belong to Tekton and to the service.
const RESERVED: [&str; 2] = ["TEKTON_", "WFE_"];

/// Whether a step may be given a variable of this name: one that every shell can read, and that neither
/// Tekton nor the service needs for itself.
pub fn is_variable_name(name: &str) -> bool {
    is_identifier(name) && !RESERVED.iter().any(|reserved| name.starts_with(reserved))
}

fn is_identifier(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.len() <= 253 && name.starts_with(first) && name.chars().all(rest)
}

impl InlineWorkflow {
    /// Checks steps, and that at most `max_parallel` of them are to run at once; 0 is 5. Violations name
    /// the fields of an inline workflow, such as `steps[3].depends_on[1]`.
    pub fn new(drafts: Vec<StepDraft>, max_parallel: i32) -> Result<Self, Violations> {
        let mut wrong = Violations(Vec::new());
        let max_parallel = wrong.take("max_parallel", parallel(max_parallel));
        if drafts.is_empty() || drafts.len() > MAX_STEPS {
            let rule = format!("must have 1 to {MAX_STEPS} entries, and has {}", drafts.len());
            wrong.0.push(Invalid::new(rule).at("steps"));
            return Err(wrong);
        }
        let places = places(&drafts);
        let faults = order(&drafts, &places);
        let mut steps = Vec::new();
        for (index, draft) in drafts.into_iter().enumerate() {
            let mut own = Violations(Vec::new());
            if let Err(invalid) = name(&draft.name, index, &places) {
                own.0.push(invalid.at("name"));
            }
            let checked = step(draft, &mut own);
            let of_step = faults.iter().filter(|fault| fault.step == index);
            own.0.extend(of_step.map(|fault| fault.violation.clone()));
            wrong.0.extend(own.0.into_iter().map(|Violation { field, description }| Violation {
                field: format!("steps[{index}].{field}"),
                description,
            }));
            steps.extend(checked);
        }
        let workflow = Self { steps, max_parallel: max_parallel.unwrap_or(DEFAULT_PARALLEL) };
        let bytes = workflow.definition().len();
        if bytes > MAX_DEFINITION_BYTES {
            let most = MAX_DEFINITION_BYTES / 1024;
            let rule = format!("must have at most {most} KiB in all, and has {} KiB", bytes / 1024);
            wrong.0.push(Invalid::new(rule).at("steps"));
        }
        wrong.into_result(workflow)
    }
}

fn parallel(wished: i32) -> Result<u32, Invalid> {
    match u32::try_from(wished) {
        Ok(0) => Ok(DEFAULT_PARALLEL),
        Ok(wished @ 1..=MAX_PARALLEL) => Ok(wished),
        Ok(_) | Err(_) => Err(Invalid::new(format!(
            "must be 1 to {MAX_PARALLEL}, or 0 for {DEFAULT_PARALLEL}; it is {wished}"
        ))),
    }
}

/// The place of each name: of one that is there twice, the first.
fn places(drafts: &[StepDraft]) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        places.entry(draft.name.clone()).or_insert(index);
    }
    places
}

fn name(name: &str, index: usize, places: &BTreeMap<String, usize>) -> Result<(), Invalid> {
    if !is_dns_label(name) {
        return Err(Invalid::new(
            "must be a DNS label: 1 to 63 characters of a-z 0-9 and -, with no - at an end",
        ));
    }
    match places.get(name) {
        Some(first) if *first != index => {
            Err(Invalid::new(format!("{name} is also the name of steps[{first}]")))
        }
        Some(_) | None => Ok(()),
    }
}

/// What is wrong with the order of a step.
struct Fault {
    step: usize,
    violation: Violation,
}

fn order(drafts: &[StepDraft], places: &BTreeMap<String, usize>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut graph = Vec::new();
    for (step, draft) in drafts.iter().enumerate() {
        let mut seen = BTreeSet::new();
        let mut before = 0;
        for (index, dependency) in draft.depends_on.iter().enumerate() {
            let place = places.get(dependency.as_str()).copied();
            let rule = match place {
                _ if !seen.insert(dependency) => format!("{dependency} is there twice"),
                None => format!("there is no step {dependency:?}"),
                Some(place) if place == step => "a step cannot wait for itself".to_owned(),
                Some(place) => {
                    before |= one(place);
                    continue;
                }
            };
            let violation = Invalid::new(rule).at(format!("depends_on[{index}]"));
            faults.push(Fault { step, violation });
        }
        graph.push(before);
    }
    for circle in Graph::new(graph).circles() {
        let names: Vec<&str> = circle
            .iter()
            .filter_map(|at| drafts.get(*at))
            .map(|draft| draft.name.as_str())
            .collect();
        let (Some(&step), Some(next)) = (circle.first(), names.get(1)) else { continue };
        let dependencies = drafts.get(step).map(|draft| draft.depends_on.as_slice());
        let index = dependencies.and_then(|all| all.iter().position(|name| name == next));
        let rule = format!("the steps wait for each other: {}", names.join(" -> "));
        let field = format!("depends_on[{}]", index.unwrap_or_default());
        faults.push(Fault { step, violation: Invalid::new(rule).at(field) });
    }
    faults
}

fn step(draft: StepDraft, wrong: &mut Violations) -> Option<InlineStep> {
    let StepDraft { name, image, command, script, env, depends_on, timeout, retries } = draft;
    wrong.take("image", check_reference(&image, "registry.example/tools/kubectl:1.34"));
    let action = action(command, script, wrong);
    check_env(&env, wrong);
    let timeout_ms = wrong.take("timeout", timeout.map(check_timeout).transpose());
    let retries = wrong.take("retries", check_retries(retries));
    Some(InlineStep {
        name,
        image,
        action: action?,
        env,
        depends_on,
        timeout_ms: timeout_ms?,
        retries: retries?,
    })
}

fn action(command: Vec<String>, script: String, wrong: &mut Violations) -> Option<Action> {
    const ONE: &str = "give either a command or a script";
    if command.is_empty() {
        let checked = if script.is_empty() {
            Err(Invalid::new(format!("is missing: {ONE}")))
        } else {
            check_script(&script)
        };
        return wrong.take("script", checked).map(|()| Action::Script(script));
    }
    if !script.is_empty() {
        wrong.0.push(Invalid::new(format!("there is a command as well: {ONE}")).at("script"));
        return None;
    }
    if command.len() > MAX_ENTRIES {
        let rule = format!("must have at most {MAX_ENTRIES} entries");
        wrong.0.push(Invalid::new(rule).at("command"));
    }
    for (index, argument) in command.iter().enumerate() {
        let field = format!("command[{index}]");
        if index == 0 && argument.is_empty() {
            wrong.0.push(Invalid::new("must name a program").at(&field));
        }
        wrong.take(field, check_text(argument, MAX_ENTRY_BYTES));
    }
    Some(Action::Command(command))
}

fn check_script(script: &str) -> Result<(), Invalid> {
    let text = script.trim_start();
    if text.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    // Tekton takes it for a script of Windows, and runs the whole step there.
    if text.starts_with("#!win") {
        return Err(Invalid::new("must not be for Windows"));
    }
    check_text(script, MAX_SCRIPT_BYTES)
}

fn check_text(text: &str, most: usize) -> Result<(), Invalid> {
    if text.len() > most {
        return Err(Invalid::new(format!("must have at most {} KiB", most / 1024)));
    }
    if text.contains('\0') {
        return Err(Invalid::new("must not hold a NUL character"));
    }
    Ok(())
}

fn check_env(env: &BTreeMap<String, String>, wrong: &mut Violations) {
    if env.len() > MAX_ENTRIES {
        let rule = format!("must have at most {MAX_ENTRIES} entries");
        wrong.0.push(Invalid::new(rule).at("env"));
    }
    for (name, value) in env {
        let shown: String = name.chars().take(64).collect();
        let field = format!("env[{shown:?}]");
        if !is_identifier(name) {
            let rule =
                "a name has 1 to 253 characters of A-Z a-z 0-9 and _, and starts with no digit";
            wrong.0.push(Invalid::new(rule).at(&field));
        } else if name == TARGET_PARAMETER {
            let rule = "is set by the service from `target`: leave it out";
            wrong.0.push(Invalid::new(rule).at(&field));
        } else if !is_variable_name(name) {
            wrong.0.push(Invalid::new("a name must not start with TEKTON_ or WFE_").at(&field));
        }
        wrong.take(field, check_text(value, MAX_ENTRY_BYTES));
    }
}

fn check_timeout(timeout: SignedDuration) -> Result<u64, Invalid> {
    // A repetition must compare equal, so that what is kept is what is compared.
    let kept = u64::try_from(timeout.as_millis()).unwrap_or_default();
    let most = u64::try_from(MAX_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    if (1_000..=most).contains(&kept) {
        return Ok(kept);
    }
    Err(Invalid::new("must be 1 second to 7 days"))
}

fn check_retries(retries: i32) -> Result<u32, Invalid> {
    match u32::try_from(retries) {
        Ok(retries) if retries <= MAX_RETRIES => Ok(retries),
        Ok(_) | Err(_) => Err(Invalid::new(format!("must be 0 to {MAX_RETRIES}; it is {retries}"))),
    }
}
