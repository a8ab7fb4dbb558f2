import { setTheme, type Theme, useTheme } from "./theme.ts";

const next: Readonly<Record<Theme, Theme>> = { system: "light", light: "dark", dark: "system" };

const paths: Readonly<Record<Theme, string>> = {
  system: "M2 3.5h12v7.5H2zM6 14h4M8 11v3",
  light:
    "M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6M8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7",
  dark: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7",
};

/** Goes from the system's theme to light, to dark, and back. */
export function ThemeButton() {
  const theme = useTheme();
  return (
    <button
      type="button"
      className="button quiet icon-button"
      aria-label={`Theme: ${theme}. Change to ${next[theme]}`}
      title={`Theme: ${theme}`}
      onClick={() => setTheme(next[theme])}
    >
      <svg viewBox="0 0 16 16" className="line-icon" aria-hidden="true">
        <path d={paths[theme]} />
      </svg>
    </button>
  );
}
