// Runs Go's text/template. Standard input has the data on its first line and one template (a JSON
// string) on each further one; standard output gets the data again and one answer per template.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type answer struct {
	Template string  `json:"template"`
	Output   *string `json:"output,omitempty"`
	Error    *string `json:"error,omitempty"`
}

// Numbers without a point or an exponent are ints, as in Python.
func typed(value any) any {
	switch value := value.(type) {
	case json.Number:
		if strings.ContainsAny(value.String(), ".eE") {
			number, _ := value.Float64()
			return number
		}
		number, _ := value.Int64()
		return int(number)
	case []any:
		for i := range value {
			value[i] = typed(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = typed(value[key])
		}
	}
	return value
}

func run(text string, data any) (string, error) {
	functions := template.FuncMap{"json": func(value any) string {
		encoded, _ := json.Marshal(value)
		return string(encoded)
	}}
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var output strings.Builder
	err = parsed.Execute(&output, data)
	return output.String(), err
}

func decode(line []byte, target any) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(target); err != nil {
		panic(err)
	}
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	writer := bufio.NewWriter(os.Stdout)
	defer writer.Flush()
	encoder := json.NewEncoder(writer)
	encoder.SetEscapeHTML(false)
	input.Scan()
	var data any
	decode(input.Bytes(), &data)
	data = typed(data)
	writer.Write(append(input.Bytes(), '\n'))
	for input.Scan() {
		var test answer
		decode(input.Bytes(), &test.Template)
		output, err := run(test.Template, data)
		if err != nil {
			message := err.Error()
			test.Error = &message
		} else {
			test.Output = &output
		}
		if err := encoder.Encode(test); err != nil {
			panic(err)
		}
	}
}
