//! Requests about autostart. The agent runs under the account whose autostart it is.

use waybill_ipc::protocol::{AutostartStatus, Request};
use waybill_shared::error::ErrorReport;

use super::{Service, Session};
use crate::access;
use crate::platform::autostart;

impl Service {
    pub(super) async fn autostart(&self, session: &Session, enable: Option<bool>) -> Result<AutostartStatus, ErrorReport> {
        let instance = self.parts.instance.clone();
        let Some(wanted) = enable else { return self.autostart_desk.run(move || autostart::status(&instance)).await? };
        let result = self.autostart_desk.run(move || autostart::set(&instance, wanted)).await.and_then(|done| done);
        let (action, target) = access::described(&Request::Autostart { enable });
        self.note(session, action, &target, result.as_ref().map(|_| ()));
        result
    }
}
