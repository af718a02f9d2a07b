//! Requests about destinations: what they are asked beside their reports.

use std::sync::Arc;

use waybill_ipc::protocol::{Reply, SecretText};
use waybill_shared::config::Edit;
use waybill_shared::error::ErrorReport;
use waybill_shared::fs::atomic;
use waybill_shared::text;

use super::{Service, Session};
use crate::secrets::SecretName;
use crate::serve::answers::{self, secret, secret_text};
use crate::upload::destination::registration::Registration;
use crate::upload::destination::{Depth, Destination};
use crate::upload::trial;

impl Service {
    async fn as_configured(&self, name: String) -> Result<Arc<dyn Destination>, ErrorReport> {
        self.parts.changes.built(name, Vec::new(), None).await
    }

    pub(super) async fn test(
        &self,
        session: &Session,
        name: String,
        edits: Vec<Edit>,
        token: Option<SecretText>,
    ) -> Result<Reply, ErrorReport> {
        let asked = async {
            let destination = self.parts.changes.built(name.clone(), edits, token.as_ref().map(secret)).await?;
            destination.test(Depth::Whole).await.map(Reply::DestinationTest)
        };
        let result = asked.await;
        self.note(session, "destination.test", &name, result.as_ref().map(|_| ()));
        result
    }

    pub(super) async fn test_all(&self, session: &Session, names: Vec<String>) -> Result<Reply, ErrorReport> {
        let active = self.parts.live.load_full();
        let config = &active.effective.config;
        let meant = trial::meant(config, names);
        let target = meant.as_ref().map_or_else(|_| String::new(), |names| text::shortened(&names.join(", "), 500));
        self.note(session, "destination.test", &target, meant.as_ref().map(|_| ()));
        let find = |name| {
            let changes = self.parts.changes.clone();
            async move { changes.built(name, Vec::new(), None).await }
        };
        Ok(Reply::DestinationTrials(trial::run(config, meant?, find).await))
    }

    pub(super) async fn register(&self, session: &Session, name: String, token: SecretText) -> Result<Reply, ErrorReport> {
        let result = self.registered(&name, &token).await;
        self.note(session, "destination.register", &name, result.as_ref().map(|_| ()));
        let (kept_as, own) = result?;
        self.set_secret(session, kept_as.as_str(), Some(own)).await.map_err(answers::not_kept)
    }

    /// The station's own token, and under which name it is to be kept.
    async fn registered(&self, name: &str, token: &SecretText) -> Result<(SecretName, SecretText), ErrorReport> {
        let (active, store) = (self.parts.live.load_full(), self.parts.secrets.clone());
        let base = atomic::folder_of(&self.parts.instance.config);
        let kept_as = answers::token_to_keep(&active.effective.config, &base, &store, name)?;
        let station = Registration::of(&self.parts.instance.name, &active.identity);
        let own = self.as_configured(name.to_owned()).await?.register(secret(token), station).await?;
        Ok((kept_as, secret_text(&own)))
    }

    pub(super) async fn processes(&self, session: &Session, name: String) -> Result<Reply, ErrorReport> {
        let asked = async { self.as_configured(name.clone()).await?.processes().await.map(Reply::Processes) };
        let result = asked.await;
        self.note(session, "destination.processes", &name, result.as_ref().map(|_| ()));
        result
    }
}
