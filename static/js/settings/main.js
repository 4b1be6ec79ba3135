import { offerCopying } from "./copy.js";
import { keepFocus } from "./focus.js";
import { Live } from "./live.js";
import { takeDoubleClicksOnce } from "./once.js";
import { showOutcomes } from "./outcomes.js";
import { localiseTimes } from "./times.js";
import { keepTyped } from "./typing.js";
import { keepWidgetForm } from "./widget_form.js";
import { previewWidget } from "./widget_preview.js";

takeDoubleClicksOnce();
showOutcomes();
keepFocus();
keepTyped();
offerCopying();
localiseTimes();
keepWidgetForm();
previewWidget();
new Live(document.getElementById("live")).open();
