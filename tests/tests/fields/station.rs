use serde_json::Value;
use waybill_tests::edit::{add, set, unset};
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Receiver, Station, ipc_client, sample_value};

fn builder(receiver: &Receiver) -> StationBuilder {
    Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).wats(receiver).quick()
}

/// Station, location and purpose in the `n`-th report, whose file says nothing of them.
fn said(station: &Station, receiver: &Receiver, n: u64) -> [String; 3] {
    let mut report = sample_value(n);
    for key in ["machineName", "location", "purpose"] {
        report.as_object_mut().unwrap().shift_remove(key);
    }
    let id = report["id"].as_str().unwrap().to_owned();
    station.drop_file("ict", &format!("{n}.json"), report.to_string().as_bytes());
    receiver.wait(|state| state.has(&id));
    let sent = &receiver.reports()[&id];
    ["machineName", "location", "purpose"].map(|key| match &sent[key] {
        Value::String(text) => text.clone(),
        other => panic!("{key}: {other}"),
    })
}

#[test]
fn a_report_says_which_station_it_comes_from_where_its_file_does_not() {
    let receiver = Receiver::start();
    receiver.keep_bodies(true);
    let station = builder(&receiver).build();
    let _agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    assert_eq!(said(&station, &receiver, 0), ["ST-07", "Line 1", "Production"]);
    let edits = [set("station.name", "ST-08"), set("station.location", "Line 2"), set("station.purpose", "Repair")];
    ipc.change(&edits).unwrap();
    assert_eq!(said(&station, &receiver, 1), ["ST-08", "Line 2", "Repair"]);
}

#[test]
fn the_name_comes_from_where_the_configuration_says() {
    let receiver = Receiver::start();
    receiver.keep_bodies(true);
    let station = builder(&receiver).env("BENCH_NAME", "Bench 9").build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    ipc.change(&[set("station.name_from", "variable"), set("station.name_variable", "BENCH_NAME")]).unwrap();
    assert_eq!(said(&station, &receiver, 0)[0], "Bench 9");
    ipc.change(&[set("station.name_from", "host")]).unwrap();
    let host = said(&station, &receiver, 1)[0].clone();
    assert!(!["ST-07", "Bench 9", ""].contains(&host.as_str()), "{host}");
    let identity = agent.snapshot().agent.identity;
    assert_eq!((identity.station, identity.name_source.as_str()), (host, "the host's name"));
}

#[test]
fn the_active_preset_stands_in_for_the_stations_own_values() {
    let receiver = Receiver::start();
    receiver.keep_bodies(true);
    let station = builder(&receiver).build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    ipc.change(&[
        add("station.preset", "night"),
        set("station.preset.night.station", "ST-N"),
        set("station.preset.night.location", "Hall 2"),
        add("station.preset", "repair"),
        set("station.preset.repair.purpose", "Repair"),
    ])
    .unwrap();
    assert_eq!(said(&station, &receiver, 0), ["ST-07", "Line 1", "Production"], "none is active");
    ipc.change(&[set("station.active", "night")]).unwrap();
    assert_eq!(said(&station, &receiver, 1), ["ST-N", "Hall 2", "Production"]);
    assert_eq!(agent.snapshot().agent.identity.name_source, "the preset night");
    ipc.change(&[set("station.active", "repair")]).unwrap();
    assert_eq!(said(&station, &receiver, 2), ["ST-07", "Line 1", "Repair"]);
    ipc.change(&[unset("station.active")]).unwrap();
    assert_eq!(said(&station, &receiver, 3), ["ST-07", "Line 1", "Production"]);
}
