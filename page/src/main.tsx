import { render } from "preact";
import { App } from "./app";
import { applyTheme, storedTheme } from "./storage";
import "./style.css";

applyTheme(storedTheme());
const place = document.getElementById("app");
if (place) render(<App />, place);
