// Runs Go's text/template on conversations. Each line of standard input is a case: a template and
// the conversation it gets; standard output repeats it with the answer. The types below have the
// fields, the JSON and the printed forms that docs/templates.md describes.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

func compact(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

type arguments map[string]any

func (value arguments) String() string { return compact(value) }

type function struct {
	Index     int       `json:"index"`
	Name      string    `json:"name"`
	Arguments arguments `json:"arguments"`
}

type call struct {
	ID       string   `json:"id,omitempty"`
	Function function `json:"function"`
}

func (value function) String() string { return compact(value) }
func (value call) String() string     { return compact(value) }

type message struct {
	Role       string `json:"role"`
	Content    string `json:"content"`
	Thinking   string `json:"thinking"`
	Images     []any  `json:"images"`
	ToolCalls  []call `json:"tool_calls"`
	ToolName   string `json:"tool_name"`
	ToolCallID string `json:"tool_call_id"`
}

type kinds []string

func (value kinds) String() string {
	if len(value) == 1 {
		return value[0]
	}
	return fmt.Sprint([]string(value))
}

func (value kinds) MarshalJSON() ([]byte, error) {
	if len(value) == 1 {
		return json.Marshal(value[0])
	}
	return json.Marshal([]string(value))
}

func (value *kinds) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*value = kinds{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(value))
}

type properties map[string]property

func (value properties) String() string { return compact(value) }

type property struct {
	AnyOf       []property `json:"anyOf,omitempty"`
	Type        kinds      `json:"type,omitempty"`
	Items       any        `json:"items,omitempty"`
	Description string     `json:"description,omitempty"`
	Enum        []any      `json:"enum,omitempty"`
	Properties  properties `json:"properties,omitempty"`
	Required    []string   `json:"required,omitempty"`
}

type parameters struct {
	Type       string     `json:"type"`
	Defs       any        `json:"$defs,omitempty"`
	Items      any        `json:"items,omitempty"`
	Required   []string   `json:"required,omitempty"`
	Properties properties `json:"properties"`
}

type declaration struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Parameters  parameters `json:"parameters"`
}

type tool struct {
	Type     string      `json:"type"`
	Items    any         `json:"items,omitempty"`
	Function declaration `json:"function"`
}

type tools []tool

func (value parameters) String() string  { return compact(value) }
func (value declaration) String() string { return compact(value) }
func (value tool) String() string        { return compact(value) }
func (value tools) String() string       { return compact(value) }

func typeScript(value property) string {
	var names []string
	for _, part := range value.AnyOf {
		names = append(names, typeScript(part))
	}
	if len(names) == 0 {
		known := map[string]string{
			"string": "string", "number": "number", "integer": "number", "boolean": "boolean",
			"array": "any[]", "object": "Record<string, any>", "null": "null",
		}
		for _, kind := range value.Type {
			name, ok := known[kind]
			if !ok {
				name = "any"
			}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "any"
	}
	return strings.Join(names, " | ")
}

type conversation struct {
	System   string     `json:"system"`
	Prompt   string     `json:"prompt"`
	Suffix   string     `json:"suffix"`
	Messages []*message `json:"messages"`
	Tools    tools      `json:"tools"`
	Think    any        `json:"think"`
}

type answer struct {
	Family   string          `json:"family"`
	Template string          `json:"template,omitempty"`
	Dialogue string          `json:"dialogue"`
	Data     json.RawMessage `json:"data,omitempty"`
	Output   *string         `json:"output,omitempty"`
	Error    *string         `json:"error,omitempty"`
}

func values(data conversation, text string) map[string]any {
	level, isLevel := data.Think.(string)
	on := isLevel || data.Think == true
	if on && !isLevel {
		level = "medium"
	}
	found := map[string]any{
		"Response": "", "Think": on, "ThinkLevel": level, "IsThinkSet": data.Think != nil,
	}
	switch {
	case data.Suffix != "":
		found["Prompt"], found["Suffix"] = data.Prompt, data.Suffix
	case strings.Contains(text, ".Messages"):
		found["System"], found["Messages"], found["Tools"] = data.System, data.Messages, data.Tools
	default:
		found["System"], found["Prompt"] = data.System, data.Prompt
	}
	return found
}

func run(text string, data conversation) (string, error) {
	functions := template.FuncMap{"json": compact, "toTypeScriptType": typeScript}
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var output strings.Builder
	err = parsed.Execute(&output, values(data, text))
	return output.String(), err
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	for input.Scan() {
		var test answer
		var data conversation
		if err := json.Unmarshal(input.Bytes(), &test); err != nil {
			panic(err)
		}
		if err := json.Unmarshal(test.Data, &data); err != nil {
			panic(err)
		}
		output, err := run(test.Template, data)
		if err != nil {
			message := err.Error()
			test.Error = &message
		} else {
			test.Output = &output
		}
		test.Data, test.Template = nil, ""
		if err := encoder.Encode(test); err != nil {
			panic(err)
		}
	}
}
