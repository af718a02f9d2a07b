//! Light or dark, and how large: the station's configuration says so, and nothing else does.
//!
//! Until the agent has spoken, the window looks as it did when it was closed: egui keeps both with the window's size.

use eframe::egui::{Context, ThemePreference};
use waybill_ipc::protocol::Identity;

/// What the configuration allows, percent; anything else is an agent that says nothing about it.
const ZOOM: std::ops::RangeInclusive<u32> = 50..=300;

/// Brings the window's theme and zoom to what the agent says. Asks for a frame only if something changes.
pub fn follow(ctx: &Context, identity: &Identity) {
    let theme = preference(&identity.window_theme);
    if ctx.options(|options| options.theme_preference) != theme {
        ctx.set_theme(theme);
        ctx.request_repaint();
    }
    ctx.set_zoom_factor(zoom_factor(identity.window_zoom));
}

fn preference(theme: &str) -> ThemePreference {
    match theme {
        "light" => ThemePreference::Light,
        "dark" => ThemePreference::Dark,
        _ => ThemePreference::System,
    }
}

#[allow(clippy::cast_precision_loss, reason = "at most 300")]
fn zoom_factor(percent: u32) -> f32 {
    if ZOOM.contains(&percent) { percent as f32 / 100.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, sample};
    use crate::pages;
    use crate::shell::Shell;
    use crate::theme;
    use eframe::egui::{Key, Modifiers, Theme, Vec2};
    use egui_kittest::Harness;
    use egui_kittest::kittest::Queryable as _;
    use waybill_ipc::protocol::{Configured, Event, Update};

    const SIZE: Vec2 = Vec2::new(1200.0, 900.0);

    /// The whole window.
    fn window(model: Model) -> Harness<'static, Model> {
        let mut shell = Shell::new(pages::all());
        let mut harness = Harness::builder().with_size(SIZE).build_ui_state(
            move |ui, model: &mut Model| {
                shell.ui(ui, model);
            },
            model,
        );
        theme::apply(&harness.ctx);
        // Panics if following keeps asking for frames.
        harness.run();
        harness
    }

    fn known(theme: &str, zoom: u32) -> Model {
        let mut snapshot = sample::snapshot();
        snapshot.agent.identity.window_theme = theme.to_owned();
        snapshot.agent.identity.window_zoom = zoom;
        let mut model = Model::new(0);
        model.updated(Update::Snapshot { seq: 1, missed: 0, snapshot: Box::new(snapshot) });
        model
    }

    /// The agent has taken over another configuration.
    fn configure(window: &mut Harness<'_, Model>, seq: u64, theme: &str, zoom: u32) {
        let snapshot = window.state().snapshot().unwrap();
        let mut identity = snapshot.agent.identity.clone();
        (identity.window_theme, identity.window_zoom) = (theme.to_owned(), zoom);
        let configured =
            Configured { identity, max_entries: snapshot.queue.max_entries, sources: Vec::new(), destinations: Vec::new() };
        let event = Event::Configured(Box::new(configured));
        assert!(window.state_mut().updated(Update::Event { seq, at_ms: 1, event }));
        window.run();
    }

    #[test]
    fn the_first_snapshot_and_every_later_configuration_decide_the_theme() {
        let mut window = window(known("light", 100));
        assert_eq!((window.ctx.theme(), window.ctx.global_style().visuals.dark_mode), (Theme::Light, false));
        configure(&mut window, 2, "dark", 100);
        assert_eq!((window.ctx.theme(), window.ctx.global_style().visuals.dark_mode), (Theme::Dark, true));
        configure(&mut window, 3, "light", 100);
        assert_eq!((window.ctx.theme(), window.ctx.global_style().visuals.dark_mode), (Theme::Light, false));
        configure(&mut window, 4, "system", 100);
        assert_eq!(window.ctx.options(|options| options.theme_preference), ThemePreference::System);
    }

    #[test]
    fn zoom_makes_everything_larger_or_smaller() {
        let mut window = window(known("system", 100));
        let normal = f64::from(window.ctx.pixels_per_point());
        let room = f64::from(window.ctx.content_rect().width());
        for (seq, percent) in (2..).zip([150, 50, 300, 100]) {
            configure(&mut window, seq, "system", percent);
            let factor = f64::from(percent) / 100.0;
            let larger = f64::from(window.ctx.pixels_per_point()) / normal;
            assert!((larger - factor).abs() < 0.01, "{percent} %: {larger}");
            // The same window has room for less.
            let less = room / f64::from(window.ctx.content_rect().width());
            assert!((less - factor).abs() < 0.01, "{percent} %: {less}");
            window.get_by_label("ST-07");
        }
    }

    #[test]
    fn keys_that_zoom_change_nothing() {
        let mut window = window(known("system", 125));
        let before = window.ctx.zoom_factor();
        for key in [Key::Plus, Key::Minus, Key::Num0] {
            window.key_press_modifiers(Modifiers::COMMAND, key);
            window.run();
            assert!((window.ctx.zoom_factor() - before).abs() < f32::EPSILON, "{key:?}");
        }
    }

    #[test]
    fn an_agent_that_says_nothing_about_it_leaves_the_size_as_it_is_made() {
        for percent in [0, 49, 301, u32::MAX] {
            assert!((zoom_factor(percent) - 1.0).abs() < f32::EPSILON, "{percent}");
        }
        assert!((zoom_factor(50) - 0.5).abs() < f32::EPSILON && (zoom_factor(300) - 3.0).abs() < f32::EPSILON);
    }
}
