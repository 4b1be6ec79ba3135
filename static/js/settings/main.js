import { offerCopying } from "./copy.js";
import { keepFocus } from "./focus.js";
import { Live } from "./live.js";
import { takeDoubleClicksOnce } from "./once.js";
import { showOutcomes } from "./outcomes.js";
import { localiseTimes } from "./times.js";
import { keepTyped } from "./typing.js";
import { previewWidget } from "./widget_preview.js";
import { offerTrying } from "./try.js";

takeDoubleClicksOnce();
showOutcomes();
keepFocus();
keepTyped();
offerCopying();
localiseTimes();
previewWidget();
offerTrying();
new Live(document.getElementById("live")).open();
