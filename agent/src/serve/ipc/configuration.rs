//! Requests about the configuration and its secrets: [`answers`] at the service's desks.

use waybill_ipc::protocol::{ConfigVersion, Reply, SecretRow, SecretText};
use waybill_shared::error::ErrorReport;
use waybill_shared::fs::atomic;
use waybill_shared::secret::Secret;

use super::{Service, Session};
use crate::secrets::SecretName;
use crate::serve::answers::{self, Wanted, secret};

impl Service {
    pub(super) async fn config(&self) -> Result<Reply, ErrorReport> {
        let active = self.parts.live.load_full();
        let waits_for_restart = self.parts.changes.waits_for_restart(&active.effective.tree);
        Ok(Reply::Config(Box::new(answers::state(&self.parts.instance, &active, waits_for_restart))))
    }

    pub(super) async fn backups(&self) -> Result<Reply, ErrorReport> {
        let (instance, current) = (self.parts.instance.clone(), self.parts.live.load().revision.clone());
        self.config_desk.run(move || answers::backups(&instance, &current)).await?.map(Reply::ConfigBackups)
    }

    pub(super) async fn text(&self, version: ConfigVersion) -> Result<String, ErrorReport> {
        let (instance, active) = (self.parts.instance.clone(), self.parts.live.load_full());
        self.config_desk.run(move || answers::version(&instance, &active, version)).await?
    }

    pub(super) async fn diff(&self, from: ConfigVersion, to: ConfigVersion) -> Result<Reply, ErrorReport> {
        let (instance, active) = (self.parts.instance.clone(), self.parts.live.load_full());
        self.config_desk.run(move || answers::diff(&instance, &active, from, to)).await?.map(Reply::ConfigDiff)
    }

    /// All secrets that the configuration has use for, or one of them.
    pub(super) async fn secret_rows(&self, only: Option<SecretName>) -> Result<Vec<SecretRow>, ErrorReport> {
        let (store, wanted) = (self.parts.secrets.clone(), self.wanted());
        self.secret_desk.run(move || answers::secret_rows(&store, &wanted, only.as_ref())).await?
    }

    fn wanted(&self) -> Vec<Wanted> {
        answers::wanted(&self.parts.live.load().effective.config, &atomic::folder_of(&self.parts.instance.config))
    }

    /// The values of all secrets that can be read, so that they can be looked for where they must not be.
    pub(super) async fn known_secrets(&self) -> Vec<Secret> {
        let (store, wanted) = (self.parts.secrets.clone(), self.wanted());
        self.secret_desk.run(move || answers::known_secrets(&store, wanted)).await.unwrap_or_default()
    }

    pub(super) async fn set_secret(
        &self,
        session: &Session,
        name: &str,
        value: Option<SecretText>,
    ) -> Result<Reply, ErrorReport> {
        let action = if value.is_some() { "secret.set" } else { "secret.clear" };
        let result = self.change_secret(name, value).await;
        self.note(session, action, name, result.as_ref().map(|_| ()));
        result.map(Reply::Secrets)
    }

    async fn change_secret(&self, name: &str, value: Option<SecretText>) -> Result<Vec<SecretRow>, ErrorReport> {
        let known = answers::wanted_secret(&self.wanted(), name)?;
        let (store, changed) = (self.parts.secrets.clone(), known.clone());
        self.secret_desk.run(move || answers::change_secret(&store, &changed, value.as_ref().map(secret).as_ref())).await??;
        // Destinations begin anew with it: one that was paused for want of it is asked at once.
        self.parts.changes.secrets_changed().await?;
        self.secret_rows(Some(known.0)).await
    }
}
