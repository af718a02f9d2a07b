//! Windows: a service of the service control manager, by its calls.
//!
//! [`manager`] is the side of whoever installs, starts and asks; [`host`] the side of the process that is the service.

mod host;
mod manager;

use std::time::Duration;

use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::{Instance, Scope};

use super::{Done, Outcome, ServiceStatus, Session, Steps, failed, not_installed};
use crate::platform::autostart::run_key;
use crate::platform::start as this;
use manager::{Manager, Wanted};

pub(super) fn service_name(name: &str) -> String {
    name.to_owned()
}

pub(super) fn install(instance: &Instance, start: bool, longest_stop: Duration) -> Result<Done, ErrorReport> {
    of_the_machine(instance)?;
    let name = super::name_of(instance);
    let mut steps = Steps::of(name.clone());
    let mut service = None;
    let mut runs_old = false;
    steps.step("register the service", || {
        let wanted = wanted(instance)?;
        let manager = Manager::open(true)?;
        let (opened, outcome) = match manager.service(&name)? {
            Some(there) if there.command()? == wanted.command => (there, Outcome::Unchanged),
            Some(there) => {
                there.set_command(&wanted)?;
                runs_old = there.status()?.is_up();
                (there, Outcome::Done)
            }
            None => (manager.create(&name, &wanted)?, Outcome::Done),
        };
        service = Some(opened);
        Ok((outcome, wanted.command))
    });
    steps.step("set its start, its recovery and its end", || {
        let service = service.as_ref().ok_or_else(|| not_installed(&name))?;
        let unknown = service.configure(longest_stop)?;
        let mut detail = "it starts with the machine, and again after 5 s, 30 s and 60 s if it fails".to_owned();
        if !unknown.is_empty() {
            detail = format!("{detail}; not known to this Windows: {}", unknown.join(", "));
        }
        Ok((Outcome::Done, detail))
    });
    if start {
        steps.step("start the service", || start_one(instance, service.as_ref().ok_or_else(|| not_installed(&name))?));
    }
    if runs_old && steps.is_well() {
        steps.note("The running one was started with the command of before: `waybill-agent service stop`, then `service start`");
    }
    Ok(steps.done())
}

pub(super) fn uninstall(instance: &Instance, within: Duration) -> Result<Done, ErrorReport> {
    of_the_machine(instance)?;
    let name = super::name_of(instance);
    let mut steps = Steps::of(name.clone());
    let Some(service) = Manager::open(true)?.service(&name)? else {
        steps.note(format!("There was nothing to do: {name} is not installed"));
        return Ok(steps.done());
    };
    steps.step("stop the service", || stop_one(&service, within));
    steps.step("delete the service", || service.delete().map(|()| (Outcome::Done, String::new())));
    Ok(steps.done())
}

pub(super) fn start(instance: &Instance) -> Result<Done, ErrorReport> {
    of_the_machine(instance)?;
    let name = super::name_of(instance);
    let mut steps = Steps::of(name.clone());
    steps.step("start the service", || {
        start_one(instance, &Manager::open(true)?.service(&name)?.ok_or_else(|| not_installed(&name))?)
    });
    Ok(steps.done())
}

pub(super) fn stop(instance: &Instance, within: Duration) -> Result<Done, ErrorReport> {
    of_the_machine(instance)?;
    let name = super::name_of(instance);
    let mut steps = Steps::of(name.clone());
    steps.step("stop the service", || {
        stop_one(&Manager::open(true)?.service(&name)?.ok_or_else(|| not_installed(&name))?, within)
    });
    Ok(steps.done())
}

pub(super) fn status(instance: &Instance) -> Result<ServiceStatus, ErrorReport> {
    of_the_machine(instance)?;
    let name = super::name_of(instance);
    let Some(service) = Manager::open(false)?.service(&name)? else { return Ok(manager::absent(name)) };
    let mut status = service.told(name)?;
    if let Ok(wanted) = wanted(instance)
        && status.place.as_ref() != Some(&wanted.command)
    {
        status.notes.push(format!("It runs another command than this program would install: {}", wanted.command));
    }
    Ok(status)
}

pub(super) fn run(instance: &Instance, body: Box<dyn FnOnce(Session) -> Exit + Send>) -> Result<Exit, ErrorReport> {
    host::run(&super::name_of(instance), body)
}

/// Services of Windows belong to the machine.
fn of_the_machine(instance: &Instance) -> Result<(), ErrorReport> {
    if instance.scope == Scope::Machine {
        return Ok(());
    }
    Err(failed("a service of Windows belongs to the machine, and this instance is a user's")
        .with_fix("Give `--scope machine`, or use `waybill-agent autostart enable`, which needs no administrator"))
}

fn wanted(instance: &Instance) -> Result<Wanted, ErrorReport> {
    let program = this::this_program().map_err(failed)?;
    let arguments = instance.arguments_as_text().map_err(failed)?;
    let words = std::iter::once(program).chain(arguments).chain(["service", "run"].map(str::to_owned));
    Ok(Wanted {
        command: run_key::line(&words.collect::<Vec<_>>()),
        shown: shown(&super::name_of(instance)),
        description: "Takes the result files of test equipment and delivers them as test reports. Nothing is lost while it is stopped: files \
                      stay where the equipment puts them."
            .to_owned(),
    })
}

/// The name for people. No two services may have the same, so that it tells them apart as well as the other one does.
fn shown(name: &str) -> String {
    match name.split_once("waybill-agent-") {
        Some((_, which)) => format!("Waybill agent ({which})"),
        None => "Waybill agent".to_owned(),
    }
}

fn start_one(instance: &Instance, service: &manager::Service) -> super::Stepped {
    if service.status()?.is_up() {
        return Ok((Outcome::Unchanged, "it runs already".to_owned()));
    }
    super::nobody_else_runs(instance)?;
    service.start()?;
    Ok((Outcome::Done, String::new()))
}

fn stop_one(service: &manager::Service, within: Duration) -> super::Stepped {
    if !service.status()?.is_up() {
        return Ok((Outcome::Unchanged, "it does not run".to_owned()));
    }
    service.stop(within)?;
    Ok((Outcome::Done, String::new()))
}
