//! The data folder of an agent that runs is taken away, with its configuration in it.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "files of the test's own")]

use super::running::{Running, lives, until};

#[test]
fn a_station_whose_configuration_goes_with_its_data_folder_stays_set_up() {
    lives(module_path!(), "a_station_whose_configuration_goes_with_its_data_folder_stays_set_up", 1, async |_, folder| {
        let mut running = Running::start(folder, "").await;
        running.all_arrive("the start").await;
        std::fs::rename(folder.join("data"), folder.join("moved")).unwrap();
        running.all_arrive("the move").await;
        let lock = running.instance.lock();
        until("it has begun anew and locked the new folder", async || waybill_shared::fs::lock::holder(&lock).is_some()).await;
        until("it says what is missing", async || running.agent().await.is_some_and(|agent| agent.config_problem.is_some()))
            .await;
        running.all_arrive("it began anew").await;
        let agent = running.agent().await.unwrap();
        assert!(agent.identity.configured, "{agent:?}");
        running.stop().await;
    });
}
