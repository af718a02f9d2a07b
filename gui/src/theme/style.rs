//! egui's own widgets in the looks of Waybill.

use std::collections::BTreeMap;

use eframe::egui::style::{ScrollStyle, Selection, WidgetVisuals};
use eframe::egui::{Color32, CornerRadius, FontFamily, FontId, Shadow, Stroke, Style, TextStyle, Theme, Visuals, vec2};

use super::{Palette, palette, size};

pub(super) fn style(theme: Theme) -> Style {
    let mut style = theme.default_style();
    style.text_styles = text_styles();
    style.spacing.item_spacing = vec2(size::GAP_SMALL, size::GAP_SMALL);
    style.spacing.button_padding = vec2(size::GAP, size::GAP_TINY);
    style.spacing.interact_size.y = size::CONTROL_HEIGHT;
    style.spacing.scroll = ScrollStyle::floating();
    style.interaction.selectable_labels = false;
    style.animation_time = 0.1;
    style.visuals = visuals(theme, palette::of(theme));
    style
}

fn text_styles() -> BTreeMap<TextStyle, FontId> {
    let font = |text_size| FontId::new(text_size, FontFamily::Proportional);
    BTreeMap::from([
        (TextStyle::Small, font(size::TEXT_CAPTION)),
        (TextStyle::Body, font(size::TEXT_BODY)),
        (TextStyle::Button, font(size::TEXT_BODY)),
        (TextStyle::Heading, font(size::TEXT_HEADING)),
        (TextStyle::Monospace, FontId::new(size::TEXT_CAPTION, FontFamily::Monospace)),
    ])
}

fn visuals(theme: Theme, palette: &Palette) -> Visuals {
    let mut visuals = theme.default_visuals();
    let radius = CornerRadius::same(size::CONTROL_RADIUS);
    let line = Stroke::new(size::LINE, palette.line);
    let control = |fill: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: line,
        corner_radius: radius,
        fg_stroke: Stroke::new(size::LINE, text),
        expansion: 0.0,
    };
    visuals.widgets.noninteractive = control(palette.surface, palette.text);
    visuals.widgets.inactive = control(palette.control, palette.text_strong);
    visuals.widgets.hovered = control(palette.control_hover, palette.text_strong);
    visuals.widgets.active = control(palette.control_active, palette.text_strong);
    // egui draws what has the keyboard's focus like this as well.
    visuals.widgets.active.bg_stroke = Stroke::new(size::FOCUS_LINE, palette.accent);
    visuals.widgets.open = visuals.widgets.hovered;
    visuals.selection = Selection { bg_fill: palette.accent, stroke: Stroke::new(size::LINE, palette.on_accent) };
    visuals.hyperlink_color = palette.accent;
    visuals.weak_text_color = Some(palette.text_weak);
    visuals.panel_fill = palette.background;
    visuals.window_fill = palette.surface;
    visuals.window_stroke = line;
    visuals.extreme_bg_color = palette.surface;
    visuals.faint_bg_color = palette.control;
    visuals.code_bg_color = palette.control;
    visuals.window_corner_radius = CornerRadius::same(size::CARD_RADIUS);
    visuals.menu_corner_radius = radius;
    visuals.popup_shadow = Shadow::NONE;
    visuals
}
