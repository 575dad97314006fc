<%-- Answers with the status ?code=. --%>
<%@ page session="false" contentType="text/plain; charset=UTF-8" trimDirectiveWhitespaces="true" %>
<%
    String code = request.getParameter("code");
    int status = code == null ? 500 : Integer.parseInt(code);
    if (status < 200 || status > 599) {
        status = 400;
    }
    response.setStatus(status);
    out.println("status: " + status);
%>
