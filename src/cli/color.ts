/** Terminal colours; silent where the terminal has none or NO_COLOR is set. */
export { default as color } from "picocolors";
